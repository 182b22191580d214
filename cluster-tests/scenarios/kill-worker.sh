#!/bin/bash
# kill -9 of the worker on the holder: no request fails, the VIP does not move, the guard starts another worker.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

director=$(holder)
worker() { agent-pids "$director" | awk '$1 == "worker" { print $2; exit }'; }
before=$(worker)
[ -n "$before" ] || give_up "no worker runs on $director"
start watch watch-holders --for 12
start probe on c probe http "http://$VIP/" --every 5 --for 12
sleep 1
kill -9 "$before"
replaced() { local now && now=$(worker) && [ -n "$now" ] && [ "$now" != "$before" ]; }
expect "another worker runs" wait_until 5 replaced
figure worker_restart_ms "$WAITED"
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
join_line watch
expect_eq changes_of_holder "$(value changes "$LINE")" 0
expect_eq holder "$(holder)" "$director"
