#!/bin/bash
# Guard, worker, or both of the holder are stopped (SIGSTOP) for 10 s and go on: at no sample do two MACs answer ARP, and clients wait a lease at most.
# lab:
. "$(dirname "$0")/lib.sh"

# frozen WHICH…: these processes of the holder are stopped for 10 s.
frozen() {
  local first name which=("$@")
  name=$(IFS=_ && echo "${which[*]}") first=$(holder)
  local pids=()
  for name in "${which[@]}"; do pids+=("$(agent-pids "$first" | sed -n "s/^$name //p")"); done
  name=$(IFS=_ && echo "${which[*]}")
  start probe on c probe http "http://$VIP/" --every 5 --for 3
  start watch watch-holders --every 2 --arp-every 2 --for 3
  sleep 1
  kill -STOP "${pids[@]}"
  join_line probe
  expect_le "outage_ms_$name" "$(value outage_ms "$LINE")" "$OUTAGE"
  join_line watch
  expect_eq "arp_macs_max_$name" "$(value arp_macs_max "$LINE")" 1
  sleep 7.5
  start watch watch-holders --every 2 --arp-every 2 --for 2
  sleep 0.5
  kill -CONT "${pids[@]}"
  join_line watch
  expect_eq "arp_macs_max_as_it_goes_on_$name" "$(value arp_macs_max "$LINE")" 1
  expect "the cluster serves again" wait_until 30 serves
}

OUTAGE=50
frozen guard worker
frozen guard
# The guard holds the VIP and kills a worker that hangs; its successor has the rules within 10 s.
OUTAGE=10
frozen worker
