#!/bin/bash
# Captured gossip, leases and Raft sent again, later and from another address: nothing changes.
# lab: --timeout 900 -- sends a capture seven times, the first a minute after it was made
. "$(dirname "$0")/lib.sh"

first=$(holder)
second=$(other "$first")
heavier() { sed "s/^weight = .*/weight = $1/" "$LVS_LAB_CLUSTER" >"$SCRATCH/heavier.toml" && on d1 lvs-agent apply "$SCRATCH/heavier.toml" >"$SCRATCH/applied"; }

# A capture with everything in it: changes of rules, a node that starts, a director that renews its lease.
start capture capture "$SCRATCH/all.pcap" --for 15
sleep 1
heavier 5
stop-agent r3 && start-agent r3
sleep 4
heavier 1
join_line capture
expect_eq frames_lost "$(value lost "$LINE")" 0

again() { # NAME ARG…: replays it all, and compares before and after
  local before
  before=$(snapshot)
  on c replay "$SCRATCH/all.pcap" "${@:2}" | tee "$SCRATCH/replayed"
  sleep 3
  expect_eq "the cluster after $1" "$(snapshot)" "$before"
}

sleep 60
traffic 300
sleep 1
again "a replay in the senders' names"
expect_ge replayed_datagrams "$(value datagrams "$(cat "$SCRATCH/replayed")")" 100
expect_ge replayed_connections "$(value connections "$(cat "$SCRATCH/replayed")")" 1
again "a replay in the client's name" --from 10.0.0.10
again "a replay in nobody's name" --from 10.0.0.99 --only gossip

# Fresh processes remember nothing: a replay of before their start must not find them.
for node in r1 r2; do
  stop-agent $node && start-agent $node
  wait_until 10 hears d1 $node
  on c replay "$SCRATCH/all.pcap"
done
expect "everybody is heard" wait_until 10 test -z "$(unheard d1)"
expect_eq "the members" "$(members d1)" "d1 d2 r1 r2 r3"
undisturbed

# The leases of a director that has lost the VIP since.
start watch watch-holders --every 5 --for 20
stop-agent "$first"
expect "$second holds the VIP" wait_until 5 holds "$second"
sleep 1
start-agent "$first"
wait_until 10 hears "$second" "$first"
on c replay "$SCRATCH/all.pcap" --only lease
sleep 2
on c replay "$SCRATCH/all.pcap" --only lease
expect "$second holds the VIP still" holds "$second"
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1
expect_le changes "$(value changes "$LINE")" 1
expect_eq "the holder at the end" "$(value last "$LINE")" "$second"
expect "nobody panicked" no_panic
