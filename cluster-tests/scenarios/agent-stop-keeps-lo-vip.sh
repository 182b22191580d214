#!/bin/bash
# A real server whose agent stops keeps the VIP on lo and goes on serving; a director whose agent stops lets the VIP go.
# lab: --both-kernels
. "$(dirname "$0")/lib.sh"

start probe on c probe http "http://$VIP/" --every 10 --for 10
stop-agent r1
sleep 5
expect "the VIP stays on lo of r1" vip_on_lo r1
expect_eq "r1's arp_ignore" "$(on r1 sysctl -n net.ipv4.conf.all.arp_ignore)" 1
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
expect_ge requests_of_r1 "$(requests r1 "$LINE")" 1
start-agent r1

first=$(holder)
start watch watch-holders --for 6
start probe on c probe http "http://$VIP/" --every 10 --for 5
sleep 1
stop-agent "$first"
expect "the VIP is on $(other "$first")" wait_until 2 holds "$(other "$first")"
join_line probe
figure handover_outage_ms "$(value outage_ms "$LINE")"
expect_eq failed_during_handover "$(value failed "$LINE")" 0
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1
