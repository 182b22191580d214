#!/bin/bash
# Restart all agents under traffic: one by one no request fails; all at once rules and VIP come back.
. "$(dirname "$0")/lib.sh"

back() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = 5 ] && [ "$(status "$1" .cluster.quorum)" = true ]; }
start watch watch-holders --for 40
start probe on c probe http "http://$VIP/" --every 10 --for 40
for host in r1 r2 r3 d2 d1; do
  stop-agent $host || give_up "the agent of $host does not end"
  start-agent $host
  wait_until 10 back $host || give_up "$host is not back after 10 s"
  figure "back_ms.$host" "$WAITED"
done
expect "every server is in on both directors" wait_until 10 serves
join_line probe
expect_eq failed_one_by_one "$(value failed "$LINE")" 0
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1

before=$(on d1 ipvsadm -Sn)
start probe on c probe http "http://$VIP/" --every 10 --for 25
for host in r1 r2 r3 d1 d2; do stop-agent $host & PIDS[$host]=$!; done
for host in r1 r2 r3 d1 d2; do wait "${PIDS[$host]}"; done
for host in r1 r2 r3 d1 d2; do start-agent $host; done
expect "rules and VIP come back" wait_until 20 serves
figure all_at_once_back_ms "$WAITED"
join_line probe
figure all_at_once_outage_ms "$(value outage_ms "$LINE")"
expect_eq "the rules of d1 after the restart" "$(on d1 ipvsadm -Sn)" "$before"
