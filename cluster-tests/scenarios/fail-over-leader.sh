#!/bin/bash
# Raft's leader loses its power: no client notices unless it holds the VIP, too, and then no later than without it.
# lab: --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"

leader() { status d1 '.cluster.leader // ""'; }
leads() { [ "$(leader)" = "$1" ]; }
restart() { if ! stop-agent "$1" || ! start-agent "$1"; then give_up "the agent of $1 does not restart"; fi && be_whole; }
# leader_is holder|other: until the leader is the holder, or the other director. A leader that restarts makes another one lead; a holder that restarts
# gives the VIP to the other director.
leader_is() {
  local tries director
  for ((tries = 0; tries < 40; tries++)); do
    wait_until 10 has_leader || give_up "nobody leads"
    director=$(holder)
    if [ "$1" = other ]; then director=$(other "$director"); fi
    case $(leader) in
    "$director") return ;;
    d*) if [ "$1" = other ]; then restart "$(leader)"; else restart "$director"; fi ;;
    *) restart "$(leader)" ;;
    esac
  done
  give_up "after $tries tries $(leader) leads, and $(holder) holds the VIP"
}
has_leader() { [ -n "$(leader)" ]; }

be_whole
for ((n = 1; n <= TIMES; n++)); do
  leader_is other
  victim=$(leader) before=$(holder)
  start watch watch-holders --every 5 --for 4
  outage_of leader_alone $n 75 4 power-off "$victim"
  keep leader_alone.failed "$(value failed "$LINE")"
  join_line watch
  keep leader_alone.moves "$(value changes "$LINE")"
  holds "$before" || give_up "the VIP is not on $before any more"
  power-on "$victim"
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
