#!/bin/bash
# Voters that are needed leave: the only voter of two nodes, by itself and by an administrator, and two of three at once. Those that stay decide and hold the VIP.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

sed '/^\[\[service\]\]/,$d' "$LVS_LAB_CLUSTER" >"$SCRATCH/vip.toml"
form-cluster --hosts d1,d2 "$SCRATCH/vip.toml" >"$SCRATCH/formed" || { cat "$SCRATCH/formed" && give_up "no cluster of two directors"; }
voters() { status "$1" '.cluster.voters | join(" ")'; }
decides_alone() { [ "$(voters "$1")" = "$1" ] && [ "$(status "$1" .cluster.quorum)" = true ] && [ "$(holder)" = "$1" ]; }
applies() { on "$1" lvs-agent apply "$SCRATCH/vip.toml" >"$SCRATCH/applied" 2>&1 || { cat "$SCRATCH/applied" && false; }; }
comes_back() { on "$1" lvs-agent join "$(address "$2")" --token "$(token "$2" --roles director,real-server)" >"$SCRATCH/joined" 2>&1 || { cat "$SCRATCH/joined" && false; }; }
hears_as_many() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = "$2" ]; }

expect_eq "who votes" "$(voters d1)" d1
expect "the founder leaves" on d1 lvs-agent leave
expect "d2 decides alone and holds the VIP" wait_until 10 decides_alone d2
figure founder_left_ms "$WAITED"
expect "d2 takes rules" applies d2

expect "d1 comes back" comes_back d1 d2
expect "d2 hears it" wait_until 10 hears_as_many d2 2
expect_eq "who votes" "$(voters d1)" d2
# The only voter, still running, removed by the other.
expect "d1 removes d2" on d1 lvs-agent node remove d2 --yes
expect "d1 decides alone and holds the VIP" wait_until 10 decides_alone d1
figure only_voter_removed_ms "$WAITED"
expect "d1 takes rules" applies d1
expect "d2 cleans up" on d2 lvs-agent leave

expect "d2 comes back" wait_until 10 comes_back d2 d1
start-agent r1
expect "the agent of r1 answers" wait_until 10 answers r1
expect "r1 comes" on r1 lvs-agent join "$(address d1)" --token "$(token d1)"
three() { [ "$(status d1 '.cluster.voters | length')" = 3 ] && hears_as_many d1 3; }
expect "three vote" wait_until 60 three
# One of them may be told to wait until the other has gone.
leaves() { wait_until 20 on "$1" lvs-agent leave; }
for host in d2 r1; do leaves $host >"$SCRATCH/left.$host" 2>&1 & PIDS[$host]=$!; done
for host in d2 r1; do
  wait "${PIDS[$host]}"
  verdict "$([ $? = 0 ] && echo yes || echo no)" "$host leaves at the same time"
  cat "$SCRATCH/left.$host"
done
expect "d1 decides alone and holds the VIP" wait_until 10 decides_alone d1
expect "d1 takes rules" applies d1
expect "nobody panicked" no_panic
