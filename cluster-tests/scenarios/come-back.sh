#!/bin/bash
# A node that was off for a day comes back: by itself with its old disk, with a token when it is empty, and at another address.
# lab: --alone --timeout 900 -- twice a minute in which r3 is given up
. "$(dirname "$0")/lib.sh"

in_service() { hears d1 r3 && both sends_to r3; }
# The clock on the wall jumps a day for everyone; the minute that is waited for is enough for whatever counts seconds.
# Without a guest kernel the clock is the machine's: then the day is only as long as the wait.
day() { sleep 65 && { clock-ahead 86400 || figure clock_not_set 1; } && sleep 5; }

power-off r3
day
expect "the cluster is well after a day" on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
power-on r3
expect "r3 comes back by itself" wait_until 30 in_service
figure old_disk_back_ms "$WAITED"

stop-agent r3 --signal KILL
on r3 sh -c 'rm -rf /var/lib/lvs-agent/*'
power-off r3
day
power-on r3
wait_until 10 answers r3
sleep 5
expect "r3 knows of no cluster" not in_service
refused "r3 with an empty disk" "token create" on r3 lvs-agent join 10.0.0.11
new=$(token d1)
sleep 5
expect "r3 joins with a token, under its old name" said on r3 lvs-agent join 10.0.0.11 --token "$new"
expect "r3 is back" wait_until 30 in_service
figure empty_disk_back_ms "$WAITED"
expect_eq "the members" "$(members d1)" "d1 d2 r1 r2 r3"

# The same disk in a machine with another address.
stop-agent r3
on r3 ip addr flush dev eth0 scope global
on r3 ip addr add 10.0.0.63/24 dev eth0
on r3 sed -i 's/10\.0\.0\.23/10.0.0.63/' /etc/lvs-agent/agent.toml
sed 's/10\.0\.0\.23/10.0.0.63/' "$LVS_LAB_CLUSTER" >"$SCRATCH/moved.toml"
start-agent r3
wait_until 10 answers r3
at_new_address() { [ "$(status d1 '.nodes[] | select(.name == "r3" and .reachable) | .address')" = 10.0.0.63:7400 ]; }
if wait_until 40 at_new_address; then
  figure another_address by_itself
else
  figure another_address by_join
  expect "r3 joins from its new address without a token" said on r3 lvs-agent join 10.0.0.11
fi
expect "r3 is heard at its new address" wait_until 20 at_new_address
on d1 lvs-agent apply "$SCRATCH/moved.toml" >"$SCRATCH/applied" || give_up "the rules with the new address are not taken"
moved_in() { on "$1" ipvsadm -Ln | awk '$1 == "->" && $2 == "10.0.0.63:80" && $4 > 0 { found = 1 } END { exit !found }'; }
expect "both directors send to the new address" wait_until 20 both moved_in
start probe on c probe http "http://$VIP/" --every 20 --for 4
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
expect_ge requests_of_r3 "$(requests r3 "$LINE")" 1
expect "nobody panicked" no_panic
