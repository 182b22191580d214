#!/bin/bash
# kill -9 of guard and worker on the holder: at no sample do two MACs answer ARP, clients do not wait, and the other director has the VIP for good.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

# In real time a sample is not taken on time.
every=2
[ "$LVS_LAB_TIME" = virtual ] || every=20
first=$(holder)
start probe on c probe http "http://$VIP/" --every 5 --for 5
start whole watch-holders --every $every --arp-every $every --for 5
sleep 1
# shellcheck disable=SC2046
kill -9 $(agent-pids "$first" | cut -d' ' -f2)
join_line probe
expect_le outage_ms "$(value outage_ms "$LINE")" 50
figure failed_requests "$(value failed "$LINE")"
join_line whole
expect_eq arp_macs_max "$(value arp_macs_max "$LINE")" 1
figure addresses_max_at_once "$(value holders_max "$LINE")"
start after watch-holders --for 20
join_line after
expect_eq arp_macs_max_afterwards "$(value arp_macs_max "$LINE")" 1
expect_eq arp_answered_by "$(value arp "$LINE" | sed 's/:.*//')" "$(other "$first")"
expect_eq holders_max "$(value holders_max "$LINE")" 1
expect_eq changes_of_holder "$(value changes "$LINE")" 0
