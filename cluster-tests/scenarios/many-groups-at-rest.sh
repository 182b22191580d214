#!/bin/bash
# What 20 VIP groups of four addresses, in the long form 200, cost the guards of three directors while nothing happens, in processor time and datagrams, beside one group's.
# lab: --figures --kernel none --time real --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/groups.sh"

# guard_us HOST…: processor time of their guards so far, in microseconds. sent HOST…: datagrams of leases are most of what guards and workers send.
guard_us() { local host pid && for host in "$@"; do pid=$(agent-pids "$host" | sed -n 's/^guard //p') && cat "/proc/$pid/task/"*/schedstat; done | awk '{ ns += $1 } END { printf "%d\n", ns / 1000 }'; }
sent() { local host && for host in "$@"; do cat "/sys/class/net/$host-0/statistics/rx_packets"; done | awk '{ n += $1 } END { print n }'; }
# at_rest GROUPS: ten seconds, of all three directors together, in ms of processor time and packets a second.
at_rest() {
  local begun now us packets
  sleep 3
  now_ms begun
  us=$(guard_us "${DIRECTORS[@]}") packets=$(sent d1 d2 r1 r2 r3)
  sleep 10
  us=$(($(guard_us "${DIRECTORS[@]}") - us)) packets=$(($(sent d1 d2 r1 r2 r3) - packets))
  now_ms now
  keep "guards_us_per_s.groups_$1" $((us * 1000 / (now - begun)))
  keep "packets_per_s.groups_$1" $((packets * 1000 / (now - begun)))
}

directors_form
for ((n = 1; n <= $(in_short 1 3); n++)); do at_rest 1; done
# A machine that plays five nodes does five nodes' work: with 200 groups that is more than a small one can do.
for many in $(in_short 20 "20 200"); do
  there_are "$many"
  for ((n = 1; n <= $(in_short 1 3); n++)); do at_rest "$many"; done
  expect "all of $many groups are held still" all_held "$many" "${DIRECTORS[@]}"
done
summary guards_us_per_s.groups_1 - -
summary packets_per_s.groups_1 - -
read -ra one <<<"${KEPT[guards_us_per_s.groups_1]}"
for many in $(in_short 20 "20 200"); do
  missed "guards_us_per_s.groups_$many" - $((3 * one[0]))
  summary "packets_per_s.groups_$many" - -
done
expect "nobody panicked" no_panic
