#!/bin/bash
# Certificates renew by themselves: three weeks pass under traffic, then six in which r3 was off, then nine in which all were. Nobody drops out.
# lab: --alone --timeout 900 -- certificates are checked once a minute, and it waits for that four times
. "$(dirname "$0")/lib.sh"

DAY=86400
expires() { status d1 ".nodes[] | select(.name == \"$1\") | .certificate_expires_unix_s"; }
# Every node's certificate ends at least so many days from now.
good_for() {
  local now=${EPOCHSECONDS} name
  for name in "${@:2}"; do [ "$(expires "$name")" -ge $((now + $1 * DAY)) ] 2>/dev/null || return 1; done
}
# Its certificate renewal checks now, and not within a minute.
looks() { local host && for host in "$@"; do kill -HUP "$(agent-pids "$host" | awk '$1 == "guard" { print $2 }')"; done && sleep 3; }
advance() { clock-ahead $(($1 * DAY)) || give_up "the clock cannot be set: this scenario wants a guest kernel"; }

everybody=$(pids d1 d2 r1 r2 r3)
expect "certificates are good for more than 29 days" good_for 29 d1 d2 r1 r2 r3
traffic 300
sleep 1
# Short of two thirds of their life nothing happens.
advance 18 && looks d1 d2 r1 r2 r3
expect "nothing is renewed after 18 days" not good_for 13 d1
mark
advance 3
expect "all are renewed after 21 days" wait_until 70 good_for 29 d1 d2 r1 r2 r3
figure renewed_ms "$WAITED"
expect "it is logged" logged "certificate renewed" r3
expect_eq "guards and workers" "$(pids d1 d2 r1 r2 r3)" "$everybody"
expect_eq "who is not heard" "$(unheard d1)$(unheard d2)" ""
undisturbed

# Off for so long that its certificate has ended.
power-off r3
for _ in 1 2; do advance 21 && looks d1 d2 r1 r2; done
expect "the others have renewed theirs meanwhile" wait_until 5 good_for 29 d1 d2 r1 r2
power-on r3
in_service() { hears d1 r3 && both sends_to r3; }
expect "r3 comes back by itself, with a certificate that has ended" wait_until 60 in_service
figure back_after_42_days_ms "$WAITED"
expect "r3 has another certificate" wait_until 10 good_for 29 r3
# All off for so long that nobody's is valid.
for host in d1 d2 r1 r2 r3; do power-off $host; done
advance 63
for host in d1 d2 r1 r2 r3; do power-on $host; done
expect "a whole cluster comes back after 63 days" wait_until 60 serves
figure all_back_after_63_days_ms "$WAITED"
expect "all have other certificates" wait_until 90 good_for 29 d1 d2 r1 r2 r3
expect "the cluster takes rules" on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
expect "nobody panicked" no_panic
