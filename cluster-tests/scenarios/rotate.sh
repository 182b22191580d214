#!/bin/bash
# keys rotate and ca rotate under traffic: no request fails, no node drops out, the old key and CA are gone in the end.
# lab: --timeout 900 -- two rotations, each with a minute for those that were away, under traffic
. "$(dirname "$0")/lib.sh"

security() { status "$1" ".cluster.security | $2"; }
# Looks every second, from each director in turn, until told to stop. One process a look.
watch_members() {
  local from=d1 seen
  while [ ! -e "$SCRATCH/stop" ]; do
    seen=$(on $from lvs-agent status --json) || seen='"reachable":false'
    if [[ $seen =~ \"reachable\":\ ?false ]]; then echo "somebody, at ${EPOCHREALTIME}, by $from"; else echo; fi >>"$SCRATCH/unheard"
    from=$(other $from)
    sleep 1
  done
}
rotates() { # NAME JQ-OF-PRESENT JQ-OF-OTHERS CMD…
  local old
  old=$(security d1 "$2")
  now_ms begun
  expect "$1 rotate" said on d1 lvs-agent "${@:4}"
  now_ms now
  figure "$1_rotation_ms" $((now - begun))
  settled() { [ "$(security d2 "$3 | length")" = 0 ] && [ "$(security d2 .rotating)" = null ]; }
  POLL=2 expect "the old one of $1 is gone" wait_until 120 settled "$@"
  expect_eq "d1's old one of $1" "$(security d1 "$2" | grep -cxF "$old")" 0
  expect_eq "$1 on d2 and r3" "$(security d2 "$2") $(security r3 "$2")" "$(security d1 "$2") $(security d1 "$2")"
}

rm -f "$SCRATCH/stop" && : >"$SCRATCH/unheard"
everybody=$(pids d1 d2 r1 r2 r3)
traffic 400
start members watch_members
sleep 1
rotates keys .key .other_keys keys rotate
rotates ca .authority .other_authorities ca rotate
sleep 3
touch "$SCRATCH/stop"
join_line members
figure looks_at_members "$(wc -l <"$SCRATCH/unheard")"
expect_eq "looks at which somebody was not heard" "$(grep -c . "$SCRATCH/unheard")" 0
expect_eq "guards and workers" "$(pids d1 d2 r1 r2 r3)" "$everybody"

# What came through it works on: rules, a node that starts anew.
expect "the cluster takes rules" on d2 lvs-agent apply "$LVS_LAB_CLUSTER"
stop-agent r3 && start-agent r3
expect "r3 is back" wait_until 10 hears d1 r3
expect "nobody panicked" no_panic
undisturbed
