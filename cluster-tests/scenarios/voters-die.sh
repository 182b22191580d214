#!/bin/bash
# Voters are killed one by one, each once the last one's vote is settled, of seven nodes down to three: the cluster keeps its quorum throughout.
# lab: --real-servers 5 --timeout 1500 -- a dead voter votes on for a minute, five times, while up to seven agents run
. "$(dirname "$0")/lib.sh"

alive="d1 d2 r1 r2 r3 r4 r5"
seen_by() { for host in $alive; do echo "$host" && return; done; }
quorum() { [ "$(status "$(seen_by)" .cluster.quorum)" = true ]; }
# The next to die: a voter, the leader first, but never the last director (somebody must hold the VIP).
next_victim() {
  local voter leader directors=0 host
  for host in $alive; do case $host in d*) directors=$((directors + 1)) ;; esac done
  leader=$(status "$(seen_by)" .cluster.leader)
  for voter in $leader $(status "$(seen_by)" '.cluster.voters[]'); do
    case " $alive " in *" $voter "*) ;; *) continue ;; esac
    case $voter in d*) [ $directors -gt 1 ] || continue ;; esac
    echo "$voter" && return
  done
}
# The cluster votes without a dead voter, another in its place, or has said that nobody can take its place.
settled() { [ "$(status "$(seen_by)" "(.cluster.voters | length) % 2 == 1 and any(.nodes[]; .name == \"$1\" and ((.voter | not) or (.voter_why | test(\"nobody can take its place\"))))")" = true ]; }
weight=1
applies() { sed "s/^weight = .*/weight = $weight/" "$LVS_LAB_CLUSTER" >"$SCRATCH/next.toml" && on "$(seen_by)" lvs-agent apply "$SCRATCH/next.toml" >"$SCRATCH/applied" 2>&1; }

expect_eq voters_at_first "$(status d1 '.cluster.voters | length')" 5
for round in 1 2 3 4; do
  victim=$(next_victim)
  [ -n "$victim" ] || give_up "no voter to kill in round $round"
  echo "round $round: $victim dies; voters are $(status "$(seen_by)" '.cluster.voters | join(" ")')"
  power-off "$victim"
  alive=$(for host in $alive; do [ "$host" = "$victim" ] || printf '%s ' "$host"; done)
  weight=$((weight + 1))
  POLL=0.5 expect "the cluster takes rules without $victim" wait_until 10 applies
  figure "back_to_work_ms.$round" "$WAITED"
  sleep 55
  POLL=3 expect "it is settled whether $victim votes on" wait_until 60 settled "$victim"
  figure "settled_ms.$round" $((WAITED + 55000))
  expect "there is a quorum then" quorum
  weight=$((weight + 1))
  expect "and rules are taken" applies
  expect "the VIP is held" held
  dead=0 voters=$(status "$(seen_by)" '.cluster.voters[]')
  for voter in $voters; do case " $alive " in *" $voter "*) ;; *) dead=$((dead + 1)) ;; esac done
  expect_le "dead_voters_after.$round" $dead $((($(wc -w <<<"$voters") - 1) / 2))
  status "$(seen_by)" '.nodes[] | [.name, .reachable, .voter, .voter_why] | @tsv'
done
expect_eq "nodes alive" "$(wc -w <<<"$alive")" 3
start probe on c probe http "http://$VIP/" --every 20 --for 3
join_line probe
for server in r1 r2 r3; do case " $alive " in *" $server "*) any=yes ;; esac done
if [ "${any:-}" = yes ]; then expect_eq failed "$(value failed "$LINE")" 0; fi

for host in d1 d2 r1 r2 r3 r4 r5; do case " $alive " in *" $host "*) ;; *) power-on $host ;; esac done
five() { [ "$(status "$(seen_by)" '.cluster.voters | length')" = 5 ] && [ -z "$(unheard "$(seen_by)")" ]; }
POLL=2 expect "all come back, and five vote again" wait_until 120 five
figure five_again_ms "$WAITED"
expect "nobody panicked" no_panic
