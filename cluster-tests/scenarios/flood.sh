#!/bin/bash
# 10,000 random and 10,000 mutated datagrams and frames at every open port, with --long 100,000: no request fails, no lease is lost, memory stays flat.
# lab: --cluster none --timeout 1500 -- with --long it sends 800,000 datagrams and frames, each of which kernel and agent handle
. "$(dirname "$0")/lib.sh"

COUNT=$(in_short 10000 100000) most_ms=$(in_short 10000 80000)
for director in d1 d2; do setting $director '[api]' "listen = \"$(address $director):7443\""; done
form-cluster || give_up "no cluster"
victim=$(holder)
rss_kb() { on "$1" cat $(agent-pids "$1" | sed 's|.* \(.*\)|/proc/\1/status|') | awk '/^VmRSS/ { sum += $2 } END { print sum }'; }
drops() { on "$1" awk '$2 ~ /:1CE[89]$/ { sum += $NF } END { print sum + 0 }' /proc/net/udp; }

# What is mutated: gossip and leases of a whole cluster, and the connections of a node that starts.
start capture capture "$SCRATCH/real.pcap" --for 12
sleep 1
stop-agent r3 && start-agent r3
for _ in 1 2 3; do on c curl -sk -m 2 "https://$(address "$victim"):7443/v1/status" >"$SCRATCH/stranger"; done
join_line capture
sleep 5
everybody=$(pids d1 d2 r1 r2 r3)
before=$(rss_kb "$victim")
figure rss_before_kb "$before"
start watch watch-holders --every 20 --arp-every 500 --for 300
start probe on c probe http "http://$VIP/" --every 40 --for 300 --log "$LVS_LAB_LOG/probe.log"
now_ms begun
for at in gossip lease raft api; do
  for kind in random mutated; do
    on c flood "$victim" --at $at --kind $kind --count "$COUNT" --seed 7 --capture "$SCRATCH/real.pcap" >"$SCRATCH/flood" 2>&1 || give_up "flood of $at: $(cat "$SCRATCH/flood")"
    now_ms now
    echo "flood $at $kind, until $((now - begun)) ms: $(cat "$SCRATCH/flood")"
    figure "rss_kb.$at.$kind" "$(rss_kb "$victim")"
  done
done
expect_le flood_ms $((now - begun)) "$most_ms"
figure datagrams_lost_before_the_parsers "$(drops "$victim")"
sleep 5
after=$(rss_kb "$victim")
expect_le rss_after_kb "$after" $((before * 110 / 100))
expect_eq "guards and workers" "$(pids d1 d2 r1 r2 r3)" "$everybody"
expect "nobody panicked" no_panic
expect_eq "who is not heard" "$(unheard d1)" ""
expect "the cluster takes changes" on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
undisturbed
