#!/bin/bash
# The disk of one node full: the node says so with the path, nothing else is disturbed, and it catches up afterwards.
. "$(dirname "$0")/lib.sh"

node=r2
start probe on c probe http "http://$VIP/" --every 10 --for 25
start watch watch-holders --for 25
on $node dd if=/dev/zero of=/var/lib/lvs-agent/ballast bs=64k status=none 2>/dev/null
expect_eq "free bytes on $node" "$(on $node df --output=avail /var/lib/lvs-agent | tail -n 1 | tr -d ' ')" 0
: >"$LVS_LAB_LOG/$node.agent.log"
for weight in 2 3; do
  sed "s/^weight = .*/weight = $weight/" "$LVS_LAB_CLUSTER" >"$SCRATCH/weight.toml"
  expect "the others agree on weight $weight" on d1 lvs-agent apply "$SCRATCH/weight.toml"
done
weighs() { on "$1" ipvsadm -Ln | awk '$1 == "->" && $4 == 3' | wc -l | grep -qx 3; }
expect "both directors have the new weight" wait_until 5 both weighs
sleep 3
expect "$node says where it cannot write" grep -q /var/lib/lvs-agent "$LVS_LAB_LOG/$node.agent.log"
on $node rm /var/lib/lvs-agent/ballast
agent-pids $node >/dev/null || start-agent $node
caught_up() { [ "$(status $node .cluster.revision)" = "$(status d1 .cluster.revision)" ]; }
expect "$node catches up once there is room" wait_until 15 caught_up
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
join_line watch
expect_eq changes_of_holder "$(value changes "$LINE")" 0
