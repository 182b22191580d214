#!/bin/bash
# A machine on which eight processes spin, in real time: the VIPs of the profiles fast and lan do not move for a minute each, in the long form for ten.
# lab: --figures --kernel none --time real --cluster none --timeout 1800 -- it waits for moves that do not come
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/groups.sh"

SPINNERS=()
spin() { local n && for ((n = 0; n < 8; n++)); do sh -c 'while :; do :; done' & SPINNERS+=($!); done; }
rest() { kill "${SPINNERS[@]}" && SPINNERS=(); }
trap '[ ${#SPINNERS[@]} = 0 ] || rest; finish' EXIT

seconds=$(in_short 60 600)
for profile in fast lan; do
  forget_all
  on d1 sed -i '/^timing = /d' /etc/lvs-agent/agent.toml
  setting d1 "timing = \"$profile\""
  directors_form
  sleep 5
  spin
  start watch watch-holders 10.0.1.1 --hosts d1,d2,r1 --every 20 --no-arp --for "$seconds"
  join_line watch
  figure "$profile.load_average" "$(cut -d' ' -f1 /proc/loadavg)"
  rest
  expect_eq "$profile.changes" "$(value changes "$LINE")" 0
  expect_eq "$profile.unheld_ms" "$(value unheld_ms "$LINE")" 0
  expect_eq "$profile.holders_max" "$(value holders_max "$LINE")" 1
done
expect "nobody panicked" no_panic
