#!/bin/bash
# Raft's leader loses its power: no client notices unless it holds the VIP, too, and then no later than without it.
# lab: --figures --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"

leader() { status d1 '.cluster.leader // ""'; }
# leader_is holder|other: d2 leads, and holds the VIP, or not. A leader that stops hands over to the voter with the highest number whose log is complete:
# that is d2, which joins last. A holder that stops gives the VIP to the other director.
leader_is() {
  local tries
  for ((tries = 0; tries < 12; tries++)); do
    wait_until 10 has_leader || give_up "nobody leads"
    if [ "$(leader)" != d2 ]; then
      restart "$(leader)"
    elif [ "$1" = holder ]; then
      if holds d2; then return; else restart d1; fi
    elif holds d1; then
      return
    else
      restart d2
    fi
  done
  give_up "after $tries tries $(leader) leads, and $(holder) holds the VIP"
}
has_leader() { [ -n "$(leader)" ]; }

form-cluster --hosts d1,r1,r2,r3,d2 "$(dirname "$0")/../cluster.toml" || give_up "no cluster"
be_whole
for ((n = 1; n <= TIMES; n++)); do
  leader_is other
  start watch watch-holders --every 5 --for 4
  outage_of leader_alone $n 75 4 power-off d2
  keep leader_alone.failed "$(value failed "$LINE")"
  join_line watch
  keep leader_alone.moves "$(value changes "$LINE")"
  holds d1 || give_up "the VIP is not on d1 any more"
  power-on d2
  be_whole
done
for ((n = 1; n <= TIMES; n++)); do
  leader_is holder
  off_and_on leader_and_holder $n 75
done
for ((n = 1; n <= TIMES; n++)); do
  leader_is other
  off_and_on holder_alone $n 75
done

summary leader_alone 10 10
summary leader_alone.failed 0 0
summary leader_alone.moves 0 0
summary leader_and_holder "$(median 300)" 350
summary holder_alone "$(median 280)" 330
expect "nobody panicked" no_panic
