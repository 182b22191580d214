#!/bin/bash
# How long a client waits when the VIP's holder loses its power: min, median and max over shifted phases, with the profiles fast and lan; in the long form beside it keepalived.
# lab: --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/keepalived.sh"

if [ -n "${LVS_LONG:-}" ]; then
  keepalived_as default
  sleep 2
  for ((n = 1; n <= TIMES; n++)); do keepalived_off_and_on power_off.keepalived_default $n "$PERIOD" 6; done
  keepalived_ends
  keepalived_as 50ms
  sleep 2
  for ((n = 1; n <= TIMES; n++)); do keepalived_off_and_on power_off.keepalived_50ms $n "$PERIOD" 3; done
  keepalived_ends
fi

for profile in fast lan; do
  form_with $profile
  for ((n = 1; n <= TIMES; n++)); do off_and_on power_off.$profile $n "$(renewal_ms $profile)"; done
done

summary power_off.fast "$(median 100)" 125
summary power_off.lan "$(median 280)" 330
if [ -n "${LVS_LONG:-}" ]; then
  summary power_off.keepalived_50ms - -
  summary power_off.keepalived_default - -
fi
expect "nobody panicked" no_panic
