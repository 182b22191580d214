#!/bin/bash
# Three real servers that vote lose their power, and the majority with it: a director holds the VIP by fallback within 1.5 s, gets the lease without a
# move when they are back, and with on_quorum_loss = "release" nobody holds it.
# lab: --real-servers 4
. "$(dirname "$0")/lib.sh"

mode() { status "$1" '.vips[0].mode'; }
mode_is() { [ "$(mode "$1")" = "$2" ]; }
alone_serves() { sends_to "$1" r4 && not sends_to "$1" r1 && not sends_to "$1" r2 && not sends_to "$1" r3; }
watching() {
  start probe on c probe http "http://$VIP/" --every 5 --for "$1" --timeout 200
  start watch watch-holders --every 2 --arp-every 2 --for "$1" --log "$LVS_LAB_LOG/watch.log"
}
lost() { for server in r1 r2 r3; do power-off $server; done; }
back() { for server in r1 r2 r3; do power-on $server; done; }
voters() { status d1 '.cluster.voters | sort | join(" ")'; }

expect "five nodes vote" wait_until 30 eval '[ "$(voters)" = "d1 d2 r1 r2 r3" ]'
{
  cat "$LVS_LAB_CLUSTER"
  grep -q '"r4"' "$LVS_LAB_CLUSTER" || printf '\n  [[service.server]]\n  name = "r4"\n  address = "%s"\n' "$(address r4)"
} >"$SCRATCH/four.toml"
expect "a fourth server, which does not vote, serves too" said on d1 lvs-agent apply "$SCRATCH/four.toml"
expect "both directors send to it" wait_until 10 both sends_to r4
first=$(holder)
mark
watching 6
sleep 1
lost
join_line watch
expect_le unheld_ms "$(value unheld_ms "$LINE")" 1500
expect_eq arp_macs_max "$(value arp_macs_max "$LINE")" 1
join_line probe
expect_le outage_ms "$(value outage_ms "$LINE")" 1500
figure failed_requests "$(value failed "$LINE")"
second=$(holder)
figure moved "$([ "$first" = "$second" ] && echo 0 || echo 1)"
expect "one director holds the vip" held
expect "it says in its log that it does so by fallback" logged "vip taken by fallback" "$second"
expect "status says so" mode_is "$second" fallback
problem() { status "$1" '.problems[]' | grep -qE "$2"; }
expect "status calls it a problem" problem "$second" "$second holds VIP group web by fallback, without a majority of the voters"
expect "the dead servers are out of both pools, though there is no quorum" wait_until 10 both alone_serves
watching 3
join_line watch
expect_eq changes_without_a_majority "$(value changes "$LINE")" 0
join_line probe
expect_eq failed_without_a_majority "$(value failed "$LINE")" 0

# The guard of the fallback holder is killed, and its worker: its kernel stops at the end of what it had, as with a lease, and the other director holds it.
watching 5
sleep 1
# shellcheck disable=SC2046
kill -9 $(agent-pids "$second" | cut -d' ' -f2)
join_line watch
expect_eq arp_macs_max_when_its_guard_is_killed "$(value arp_macs_max "$LINE")" 1
join_line probe
expect_le outage_ms_when_its_guard_is_killed "$(value outage_ms "$LINE")" 1500
killed=$second
second=$(holder)
expect "the other director holds the vip" [ "$second" = "$(other "$killed")" ]
stop-agent "$killed" >/dev/null 2>&1
start-agent "$killed"
expect "the agent is back" wait_until 20 answers "$killed"
expect "the vip stays" holds "$second"

mark
watching 8
sleep 1
back
join_line watch
expect_eq changes_when_it_is_back "$(value changes "$LINE")" 0
expect_eq arp_macs_max_when_it_is_back "$(value arp_macs_max "$LINE")" 1
join_line probe
expect_eq failed_when_it_is_back "$(value failed "$LINE")" 0
expect "$second holds the vip by a lease" wait_until 5 mode_is "$second" lease
expect_eq holder_when_it_is_back "$(holder)" "$second"
expect "all serve again" wait_until 30 serves

sed 's/^interface = .*/&\non_quorum_loss = "release"/' "$SCRATCH/four.toml" >"$SCRATCH/release.toml"
expect "the rules say release" said on d1 lvs-agent apply "$SCRATCH/release.toml"
expect "five nodes vote again" wait_until 30 eval '[ "$(voters)" = "d1 d2 r1 r2 r3" ]'
lost
sleep 3
expect_eq holders_with_release "$(holder)" ""
back
expect "the vip is held again" wait_until 20 held
expect "no panic" no_panic
