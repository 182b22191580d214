#!/bin/bash
# kill -9 of the worker on the VIP's holder: no request fails, the VIP does not move. Of the guard: how long a client waits. Beside it keepalived's VRRP child.
# lab: --figures --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/keepalived.sh"

for setting in default 50ms; do
  keepalived_as $setting
  sleep 2
  for ((n = 1; n <= TIMES; n++)); do
    start watch watch-holders --every 2 --arp-every 2 --for 6
    outage_of kill_vrrp_child.keepalived_$setting $n "$PERIOD" 6 kill -9 "$(keepalived_pid d1 vrrp)"
    keep kill_vrrp_child.keepalived_$setting.failed "$(value failed "$LINE")"
    join_line watch
    keep kill_vrrp_child.keepalived_$setting.macs "$(value arp_macs_max "$LINE")"
    # A keepalived that has seen its child die waits longer before it starts the next one: each is killed in the care of a new one.
    pid=$(keepalived_pid d1)
    kill -TERM "$pid"
    wait_until 10 not kill -0 "$pid" 2>/dev/null || give_up "keepalived of d1 does not end"
    keepalived_starts d1
    keepalived_serves
    sleep 1
  done
  keepalived_ends
done

# killed NAME N PROCESS: the holder's process is killed; what requests and a watch of every 2 ms see of that.
killed() {
  local pid
  pid=$(agent-pids "$(holder)" | sed -n "s/^$3 //p")
  start watch watch-holders --every 2 --arp-every 2 --for 5 --log "$SCRATCH/watch.log"
  outage_of "$1" "$2" 75 5 kill -9 "$pid"
  keep "$1.failed" "$(value failed "$LINE")"
  join_line watch
  keep "$1.moves" "$(value changes "$LINE")"
  keep "$1.macs" "$(value arp_macs_max "$LINE")"
  # For how long both kernels had the address.
  keep "$1.both_ms" "$(awk '$2 ~ /[+]/ { since = $1; next } since != "" { sum += $1 - since; since = "" } END { printf "%d\n", sum }' "$SCRATCH/watch.log")"
}

form_with lan
for ((n = 1; n <= TIMES; n++)); do
  killed kill_worker $n worker
  be_whole
  # The next one is killed in another guard's care: one that has seen its workers die waits before it starts another.
  restart "$(holder)"
done
# Nobody starts the agent again while requests are sent.
for ((n = 1; n <= TIMES; n++)); do
  director=$(holder)
  killed kill_guard $n guard
  start-agent "$director"
  be_whole
done

summary kill_worker 10 10
summary kill_worker.failed 0 0
summary kill_worker.moves 0 0
summary kill_worker.macs 1 1
summary kill_guard - 20
summary kill_guard.macs 1 1
summary kill_guard.both_ms - -
summary kill_guard.failed - -
summary kill_vrrp_child.keepalived_default - -
summary kill_vrrp_child.keepalived_default.failed - -
summary kill_vrrp_child.keepalived_50ms - -
summary kill_vrrp_child.keepalived_50ms.failed - -
expect "nobody panicked" no_panic
