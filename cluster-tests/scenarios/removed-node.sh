#!/bin/bash
# A node that is removed while it runs is out at once and told so; it stays out without a new token; its name is free again.
. "$(dirname "$0")/lib.sh"

not_sent() { not sends_to "$1" r3; }
key=$(status d1 .cluster.security.key)
traffic 300
sleep 1
mark
expect "r3 is removed" said on d1 lvs-agent node remove r3 --yes
expect "no director sends to r3" wait_until 5 both not_sent
expect "d2 knows r3 no more" wait_until 5 not knows d2 r3
told() { on r3 lvs-agent status --json 2>/dev/null | jq -e '.problems | any(test("removed"))' >"$SCRATCH/problem"; }
expect "r3 says in its status that it was removed" wait_until 20 told
on r3 lvs-agent status 2>&1 | tail -n 5
expect "r3 has logged it" logged removed r3
figure vip_still_on_lo_of_r3 "$(if vip_on_lo r3; then echo yes; else echo no; fi)"
rotated() { local now && now=$(status d1 .cluster.security.key) && [ -n "$now" ] && [ "$now" != "$key" ] && [ "$(status d1 '.cluster.security.other_keys | length')" = 0 ]; }
POLL=2 expect "the gossip key that r3 knows is replaced" wait_until 100 rotated
figure key_replaced_ms "$WAITED"

# It keeps trying, with its old disk and its old certificate.
stop-agent r3 && start-agent r3
sleep 10
expect_eq "the members" "$(members d1)" "d1 d2 r1 r2"
refused "r3, which still has the cluster's data" "lvs-agent leave" on r3 lvs-agent join 10.0.0.11
expect "the cluster logs who keeps trying" logged '(r3|10\.0\.0\.23)' d1 d2 r1 r2
undisturbed

expect "r3 leaves, as it is told to" on r3 lvs-agent leave
expect "the VIP is off lo of r3" wait_until 5 not vip_on_lo r3
refused "r3 without a new token" "token create" on r3 lvs-agent join 10.0.0.11
new=$(token d1)
expect "r3 comes back with a new token, under its name" said on r3 lvs-agent join 10.0.0.11 --token "$new"
expect "r3 is heard" wait_until 10 hears d1 r3
expect "both directors send to r3 again" wait_until 20 both sends_to r3
expect "nobody panicked" no_panic
