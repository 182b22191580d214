#!/bin/bash
# How long a client behind a router waits when the VIP's holder loses its power, where the router's ARP table counts: profiles fast and lan, and keepalived.
# lab: --figures --cluster none --timeout 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/keepalived.sh"
. "$(dirname "$0")/lib/router.sh"

PROBE=(ip netns exec far probe http "http://$VIP/")
router_begins
keepalived_as 50ms
sleep 2
for ((n = 1; n <= TIMES; n++)); do keepalived_off_and_on router.keepalived_50ms $n "$PERIOD" 3; done
keepalived_ends
keepalived_as default
routes_to_router
sleep 2
for ((n = 1; n <= TIMES; n++)); do keepalived_off_and_on router.keepalived_default $n "$PERIOD" 6; done
keepalived_ends
routes_to_router

for profile in fast lan; do
  form_with $profile
  for ((n = 1; n <= TIMES; n++)); do off_and_on router.$profile $n "$(renewal_ms $profile)"; done
  expect "the router sends to the VIP's holder" router_knows
done

summary router.fast - 150
summary router.lan - 350
summary router.keepalived_50ms - -
summary router.keepalived_default - -
expect "nobody panicked" no_panic
