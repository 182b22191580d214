#!/bin/bash
# Only one director loses its path to r1: r1 stays in for the cluster, and that director does not send to it.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

director=$(holder)
partner=$(other "$director")
start probe on c probe http "http://$VIP/" --every 10 --for 12 --log "$LVS_LAB_LOG/probe.log"
sleep 1
cut "$director" r1
expect "$director sends nothing to r1" wait_until 5 not sends_to "$director" r1
expect_le exclusion_ms "$WAITED" 3000
for _ in 1 2 3 4 5; do
  sleep 1
  sends_to "$partner" r1 || give_up "$partner has isolated r1, which it can reach"
done
expect_eq "r1's state for the cluster" "$(status "$partner" '.services[0].servers[] | select(.name == "r1") | .state')" in
start after on c probe http "http://$VIP/" --every 10 --for 2 --log "$LVS_LAB_LOG/after.log"
join_line after
expect_eq failed_once_excluded "$(value failed "$LINE")" 0
heal
expect "$director sends to r1 again" wait_until 10 sends_to "$director" r1
join_line probe
figure failed_requests "$(value failed "$LINE")"
# What failed, and when.
grep -v " ok" "$LVS_LAB_LOG/after.log" | head -n 10
grep -v " ok" "$LVS_LAB_LOG/probe.log" | head -n 20
