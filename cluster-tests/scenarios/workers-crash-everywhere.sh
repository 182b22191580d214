#!/bin/bash
# No worker can start on any node for a minute, so that every guard is alone for longer than its patience: no request fails, no VIP moves.
. "$(dirname "$0")/lib.sh"

log=/var/lib/lvs-agent/raft.redb
first=$(holder)
mark
start probe on c probe http "http://$VIP/" --every 5 --for 80
start watch watch-holders --every 20 --arp-every 500 --for 80
workers() { local host && for host in d1 d2 r1 r2 r3; do agent-pids "$host" | awk '$1 == "worker" { print $2 }'; done; }
for host in d1 d2 r1 r2 r3; do
  # A folder in its place: no worker can open that.
  on "$host" sh -c "mv $log $log.away && mkdir $log" || give_up "the log of $host stays"
done
workers | xargs kill -9
last_resort() { logged "no worker for too long" "$1"; }
for host in d1 d2; do expect "$host is the last resort after a while" wait_until 15 last_resort $host; done
sleep "$(in_short 15 45)"
expect "$first holds on" holds "$first"
for host in d1 d2 r1 r2 r3; do on "$host" sh -c "rmdir $log && mv $log.away $log"; done
answering() { local host && for host in d1 d2 r1 r2 r3; do answers $host || return 1; done; }
expect "the workers are back" wait_until 10 answering
undisturbed
expect "the cluster serves" serves
