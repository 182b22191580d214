#!/bin/bash
# A machine on which eight processes spin, in real time: the VIPs of the profiles fast and lan do not move for a minute each, in the long form for ten, unless the machine itself stood still for longer than a holder can.
# lab: --figures --kernel none --time real --cluster none --timeout 1800 -- it waits for moves that do not come
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/groups.sh"

SPINNERS=()
spin() { local n && for ((n = 0; n < 8; n++)); do sh -c 'while :; do :; done' & SPINNERS+=($!); done; }
rest() { kill "${SPINNERS[@]}" && SPINNERS=(); }
trap '[ ${#SPINNERS[@]} = 0 ] || rest; finish' EXIT

# For how long a holder may stand still: its lease, less the 2% of drift, the time between two renewals and the reserve for the removal.
may_stand_still() { case $1 in fast) echo 63 ;; lan) echo 204 ;; esac; }
# What a hypervisor kept from this machine's processors so far, in milliseconds of all of them together.
stolen_ms() { awk '$1 == "cpu" { print $9 * 10 }' /proc/stat; }
# is_real_time HOST…: their guards are real-time processes, which those that spin cannot keep from a processor.
is_real_time() { local host pid && for host in "$@"; do pid=$(agent-pids "$host" | sed -n 's/^guard //p') && [ "$(awk '{ print $41 }' "/proc/$pid/stat")" = 1 ] || return 1; done; }

seconds=$(in_short 60 600)
for profile in fast lan; do
  forget_all
  on d1 sed -i '/^timing = /d' /etc/lvs-agent/agent.toml
  setting d1 "timing = \"$profile\""
  directors_form
  expect "guards are real-time processes ($profile)" is_real_time "${DIRECTORS[@]}"
  sleep 5
  spin
  stolen=$(stolen_ms)
  start clock watch-clock --for "$seconds"
  start watch watch-holders 10.0.1.1 --hosts d1,d2,r1 --every 20 --arp-every 2 --for "$seconds"
  join_line watch
  holders=$LINE
  join_line clock
  stolen=$(($(stolen_ms) - stolen))
  figure "$profile.load_average" "$(cut -d' ' -f1 /proc/loadavg)"
  rest
  changes=$(value changes "$holders") unheld=$(value unheld_ms "$holders") still=$(value still_ms_max "$LINE")
  figure "$profile.moves" "$changes"
  figure "$profile.machine_still_ms_max" "$still"
  figure "$profile.machine_still_over_25_ms" "$(value still_over_25_ms "$LINE")"
  figure "$profile.machine_stolen_ms" "$stolen"
  expect_eq "$profile.clock_is_watched_in_real_time" "$(value real_time "$LINE")" yes
  if [ "${still:-0}" -gt "$(may_stand_still $profile)" ]; then
    echo "machine stood still $still ms, longer than the $(may_stand_still $profile) ms that a holder of $profile may: $changes changes of holder and $unheld ms without one say nothing of the guards"
  else
    expect_eq "$profile.changes" "$changes" 0
    expect_eq "$profile.unheld_ms" "$unheld" 0
    expect_eq "$profile.holders_max" "$(value holders_max "$holders")" 1
  fi
  # Whatever stood still: never two.
  expect_eq "$profile.arp_twice" "$(value arp_twice "$holders")" 0
done
expect "nobody panicked" no_panic
