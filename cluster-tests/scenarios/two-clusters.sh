#!/bin/bash
# Two clusters on one LAN, each with the other's nodes as its seeds, never mix.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

OTHER=10.0.0.101
sed '/^\[\[service.server\]\]/,$d' "$LVS_LAB_CLUSTER" >"$SCRATCH/head.toml"
cluster_file() { # SERVER VIP
  sed "s/10\.0\.0\.100/$2/" "$SCRATCH/head.toml"
  printf '[[service.server]]\nname = "%s"\naddress = "%s"\n' "$1" "$(address "$1")"
}
cluster_file r1 "$VIP" >"$SCRATCH/one.toml"
cluster_file r2 $OTHER >"$SCRATCH/two.toml"
seeds() { on "$1" sed -i "s/^seeds = .*/seeds = [\"$2\", \"$3\"]/" /etc/lvs-agent/agent.toml; }
seeds d1 10.0.0.12 10.0.0.22 && seeds r1 10.0.0.12 10.0.0.22
seeds d2 10.0.0.11 10.0.0.21 && seeds r2 10.0.0.11 10.0.0.21
form-cluster --hosts d1,r1 "$SCRATCH/one.toml" || give_up "no first cluster"
form-cluster --hosts d2,r2 "$SCRATCH/two.toml" || give_up "no second cluster"
expect_eq "the clusters' ids" "$(if [ "$(status d1 .cluster.id)" = "$(status d2 .cluster.id)" ]; then echo same; else echo different; fi)" different

traffic 120
start second on c probe http "http://$OTHER/" --every 20 --for 120
start watch_second watch-holders $OTHER --every 20 --for 120
sleep 1
# Everybody starts anew with the wrong seeds.
for host in r1 r2; do stop-agent $host && start-agent $host; done
sleep 10
for host in r1 r2; do wait_until 10 answers $host; done
refused "d2's joining of the first cluster" "in cluster" on d2 lvs-agent join 10.0.0.11
refused "r1's joining of the second with its token" "in cluster" on r1 lvs-agent join 10.0.0.12 --token "$(token d2)"
# A new node finds its cluster among seeds of both.
start-agent r3 && wait_until 5 answers r3
expect "r3 joins the second cluster, whose token it has" said on r3 lvs-agent join 10.0.0.11 10.0.0.12 --token "$(token d2)"
sleep 10
expect_eq "members of the first" "$(members d1)" "d1 r1"
expect_eq "members of the second" "$(members d2)" "d2 r2 r3"
expect_eq "r1's cluster" "$(status r1 .cluster.id)" "$(status d1 .cluster.id)"
expect_eq "r3's cluster" "$(status r3 .cluster.id)" "$(status d2 .cluster.id)"
expect_eq "not heard in the first" "$(unheard d1)" ""
expect_eq "not heard in the second" "$(unheard d2)" ""
expect_eq "holder of the first VIP" "$(holder)" d1
expect_eq "holder of the second VIP" "$(holder $OTHER)" d2
undisturbed
expect "so did those of the second" end second watch_second
join_line second
expect_eq failed_in_the_second "$(value failed "$LINE")" 0
expect_eq servers_of_the_second "$(value servers "$LINE" | sed 's/:.*//')" r2
join_line watch_second
expect_eq changes_in_the_second "$(value changes "$LINE")" 0
expect "nobody panicked" no_panic
