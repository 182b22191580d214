#!/bin/bash
# Power off the holder: the VIP is on the other director, clients wait at most 500 ms, afterwards nothing fails.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

first=$(holder)
second=$(other "$first")
start watch watch-holders --for 8
start probe on c probe http "http://$VIP/" --every 5 --for 6
sleep 1
power-off "$first"
join_line probe
expect_le failover_outage_ms "$(value outage_ms "$LINE")" 500
figure failed_requests "$(value failed "$LINE")"
expect "the VIP is on $second" holds "$second"
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1
expect_eq arp_macs_max "$(value arp_macs_max "$LINE")" 1

start probe on c probe http "http://$VIP/" --every 5 --for 3
join_line probe
expect_eq failed_afterwards "$(value failed "$LINE")" 0

start probe on c probe http "http://$VIP/" --every 5 --for 10
power-on "$first"
expect "$first sends to every server again" wait_until 10 sends_to_all "$first"
join_line probe
expect_eq failed_while_it_came_back "$(value failed "$LINE")" 0
expect "one director holds the VIP" held
