#!/bin/bash
# leave on a real server takes the VIP from lo and puts the ARP sysctls back as they were before it joined.
# lab: --cluster none --both-kernels --real-too
. "$(dirname "$0")/lib.sh"

arp() { on r3 sysctl net.ipv4.conf.{all,lo}.{arp_ignore,arp_announce} | tr '\n' ' '; }
on r3 sysctl -qw net.ipv4.conf.lo.arp_announce=1
before=$(arp)
form-cluster "$(dirname "$0")/../cluster.toml" || give_up "no cluster"
expect "the VIP is on lo of r3" vip_on_lo r3
expect_eq "r3's arp_ignore" "$(on r3 sysctl -n net.ipv4.conf.all.arp_ignore)" 1

start probe on c probe http "http://$VIP/" --every 10 --for 8 --log "$LVS_LAB_LOG/probe.log"
sleep 1
expect "r3 leaves" on r3 lvs-agent leave
expect "the VIP is off lo of r3" wait_until 5 not vip_on_lo r3
expect_eq "r3's sysctls" "$(arp)" "$before"
expect "no director sends to r3" wait_until 5 not sends_to "$(holder)" r3
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
# What failed, and when: seen once, on a server that had nothing to do with the leave.
grep -v " ok" "$LVS_LAB_LOG/probe.log" | head -n 10
