#!/bin/bash
# SIGTERM of the agent that holds the VIP, and a restart of all agents one by one: no request fails, no client waits longer than 10 ms. Beside it keepalived.
# lab: --figures --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/keepalived.sh"

for setting in default 50ms; do
  keepalived_as $setting
  sleep 2
  for ((n = 1; n <= TIMES; n++)); do
    outage_of sigterm.keepalived_$setting $n "$PERIOD" 4 kill -TERM "$(keepalived_pid d1)"
    keep sigterm.keepalived_$setting.failed "$(value failed "$LINE")"
    keepalived_starts d1
    keepalived_serves
    sleep 1
  done
  keepalived_ends
done

form_with lan
for ((n = 1; n <= TIMES; n++)); do
  director=$(holder)
  outage_of sigterm $n 75 3 stop-agent "$director"
  keep sigterm.failed "$(value failed "$LINE")"
  start-agent "$director"
  be_whole
done

restart_all() {
  local host
  for host in r1 r2 r3 d2 d1; do restart $host; done
  end probe
}
for ((n = 1; n <= $(in_short 1 20); n++)); do
  outage_of restart_all $n 75 60 restart_all
  keep restart_all.failed "$(value failed "$LINE")"
done

summary sigterm 10 10
summary sigterm.failed 0 0
summary restart_all 10 10
summary restart_all.failed 0 0
summary sigterm.keepalived_default - -
summary sigterm.keepalived_default.failed - -
summary sigterm.keepalived_50ms - -
summary sigterm.keepalived_50ms.failed - -
expect "nobody panicked" no_panic
