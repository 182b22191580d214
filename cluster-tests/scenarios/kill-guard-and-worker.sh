#!/bin/bash
# kill -9 of guard and worker on the holder: within 3 s one MAC answers ARP, for good, and it is not the dead director's.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

first=$(holder)
start probe on c probe http "http://$VIP/" --every 5 --for 8
start whole watch-holders --for 8
sleep 1
# shellcheck disable=SC2046
kill -9 $(agent-pids "$first" | cut -d' ' -f2)
sleep 3
start after watch-holders --for 20
join_line probe
figure outage_ms "$(value outage_ms "$LINE")"
join_line whole
figure holders_max_at_once "$(value holders_max "$LINE")"
join_line after
expect_eq arp_macs_max "$(value arp_macs_max "$LINE")" 1
expect_eq arp_answered_by "$(value arp "$LINE" | sed 's/:.*//')" "$(other "$first")"
expect_eq holders_max "$(value holders_max "$LINE")" 1
expect_eq changes_of_holder "$(value changes "$LINE")" 0
