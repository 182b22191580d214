#!/bin/bash
# Both directors are cut off from every other agent and from each other, then from the other agents alone: one holds the VIP by fallback within 1.5 s.
# lab: --cluster none --real-servers 6
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/agents-lan.sh"

agents_lan || give_up "no cluster on a network of its own"
without_agents_network alone 0 d1 d2
expect "five nodes vote again" wait_until 30 five_vote
# They hear each other, and no voter.
without_agents_network together 50 r1 r2 r3
expect "five nodes vote again" wait_until 30 five_vote

# One director alone: the other one goes on with the lease, or takes it, and the first finds by ARP that somebody has the VIP.
first=$(holder) second=$(other "$(holder)")
watching 6
sleep 1
agents_cut "$first"
join_line watch
expect_eq arp_macs_max_one_alone "$(value arp_macs_max "$LINE")" 1
join_line probe
expect_le outage_ms_one_alone "$(value outage_ms "$LINE")" 600
expect "$second holds the vip" holds "$second"
expect "by a lease" mode_is "$second" lease
watching 3
sleep 1
agents_heal
join_line watch
expect_eq changes_one_back "$(value changes "$LINE")" 0
join_line probe
expect_eq failed_one_back "$(value failed "$LINE")" 0
expect "no panic" no_panic
