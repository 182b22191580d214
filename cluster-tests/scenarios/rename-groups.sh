#!/bin/bash
# VIP groups are renamed, split, and merged under traffic: no VIP moves that need not move, no request fails, and no two MACs answer.
# lab:
. "$(dirname "$0")/lib.sh"

OTHER=10.0.0.101
# rules FILE GROUP=ADDRESS[,ADDRESS]…: a cluster file with these groups, each with the lab's service.
rules() {
  local group addresses
  for group in "${@:2}"; do
    addresses=${group#*=} group=${group%%=*}
    sed -e "s/\"10.0.0.100\"/\"${addresses//,/\", \"}\"/; s/\"web\"/\"$group\"/; s/^name = \"http\"/name = \"http-$group\"/" "$LVS_LAB_CLUSTER"
  done >"$1"
}
# applied GROUP=ADDRESS…: these are the groups now.
applied() {
  rules "$SCRATCH/rules.toml" "$@"
  on d1 lvs-agent apply "$SCRATCH/rules.toml" >"$SCRATCH/applied" 2>&1 || { cat "$SCRATCH/applied" && give_up "the rules are not applied: $*"; }
}
# on_host ADDRESS: which director has it.
on_host() { local host && for host in d1 d2; do ! ip -n $host -o addr show dev eth0 | grep -q " $1/32 " || echo $host; done; }
has_host() { [ "$(on_host "$1" | wc -l)" = 1 ]; }
serves_at() { on c probe http "http://$1/" --every 20 --for 0.2 | grep -q ' failed=0 '; }
# undisturbed_by WHAT OUTAGE_MS MOVES GROUP=ADDRESS…: requests to both VIPs while these become the groups; that many of the two move to another director.
undisturbed_by() {
  local what=$1 address before after moved=0
  for address in $VIP $OTHER; do
    before+=" $(on_host $address)"
    start "probe_$address" on c probe http "http://$address/" --every 5 --for 4
    start "watch_$address" watch-holders "$address" --every 2 --arp-every 2 --for 4
  done
  sleep 1
  applied "${@:4}"
  for address in $VIP $OTHER; do
    join_line "probe_$address"
    expect_eq "requests to $address that failed by $what" "$(value failed "$LINE")" 0
    expect_le "outage_ms_${what}_${address##*.}" "$(value outage_ms "$LINE")" "$2"
    join_line "watch_$address"
    expect_eq "most directors that had $address at a time, by $what" "$(value holders_max "$LINE")" 1
    # Where it moves within the two milliseconds of a sample, the former director may answer, and the new one announce itself.
    [ "$3" != 0 ] || expect_eq "most MACs for $address at a time, by $what" "$(value arp_macs_max "$LINE")" 1
    after+=" $(on_host $address)"
  done
  read -ra before <<<"$before"
  read -ra after <<<"$after"
  for ((n = 0; n < 2; n++)); do [ "${before[n]:-}" = "${after[n]:-}" ] || moved=$((moved + 1)); done
  expect_eq "VIPs moved by $what (${before[*]} to ${after[*]})" $moved "$3"
}

applied web=$VIP,$OTHER
wait_until 10 has_host $OTHER || give_up "nobody has $OTHER"
wait_until 20 serves_at $OTHER || give_up "$OTHER is not served"

undisturbed_by rename 10 0 www=$VIP,$OTHER
undisturbed_by split 10 0 www=$VIP shop=$OTHER
undisturbed_by merge 10 0 shop=$VIP,$OTHER
undisturbed_by move_to_another_group 10 0 shop=$VIP www=$OTHER

# Two groups on two directors become one.
for ((n = 1; n <= 12; n++)); do
  applied shop=$VIP
  applied shop=$VIP "s$n=$OTHER"
  wait_until 10 has_host $OTHER || give_up "nobody has $OTHER"
  [ "$(on_host $OTHER)" = "$(on_host $VIP)" ] || break
done
expect "they are on two directors" not [ "$(on_host $OTHER)" = "$(on_host $VIP)" ]
wait_until 20 serves_at $OTHER || give_up "$OTHER is not served"
undisturbed_by merge_across 10 1 both=$VIP,$OTHER
expect "nobody panicked" no_panic
