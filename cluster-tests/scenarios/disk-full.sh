#!/bin/bash
# The disk of one node full: the node says so with the path, nothing else is disturbed, and it catches up afterwards.
. "$(dirname "$0")/lib.sh"

node=r2
start probe on c probe http "http://$VIP/" --every 10 --for 40
start watch watch-holders --for 40
on $node dd if=/dev/zero of=/var/lib/lvs-agent/ballast bs=64k status=none 2>/dev/null
expect_eq "free bytes on $node" "$(on $node df --output=avail /var/lib/lvs-agent | tail -n 1 | tr -d ' ')" 0
: >"$LVS_LAB_LOG/$node.agent.log"
complains() { grep -q "/var/lib/lvs-agent.*No space left" "$LVS_LAB_LOG/$node.agent.log"; }
# Long check paths make long log entries: the file has to grow.
applied=0 long=$(printf 'x%.0s' {1..200})
while [ $applied -lt 60 ] && not complains; do
  applied=$((applied + 1))
  {
    sed "s/^weight = .*/weight = $((applied % 9 + 1))/" "$LVS_LAB_CLUSTER"
    for port in {1001..1120}; do
      printf '[[service]]\nname = "s%d"\nvip = "web"\nport = %d\n[service.check]\ntype = "http"\npath = "/%d/%s"\n' $port $port $applied "$long"
    done
  } >"$SCRATCH/long.toml"
  on d1 lvs-agent apply "$SCRATCH/long.toml" >/dev/null || give_up "apply $applied failed on d1"
done
figure applied_until_full $applied
expect "$node says where it cannot write" complains
expect "the others go on" on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
expect "both directors send to every server" wait_until 5 both sends_to_all
on $node rm /var/lib/lvs-agent/ballast
agent-pids $node >/dev/null || start-agent $node
caught_up() { [ "$(status $node .cluster.revision)" = "$(status d1 .cluster.revision)" ]; }
expect "$node catches up once there is room" wait_until 15 caught_up
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
join_line watch
expect_eq changes_of_holder "$(value changes "$LINE")" 0
