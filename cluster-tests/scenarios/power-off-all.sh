#!/bin/bash
# Power off all, power on: the cluster forms again from disk, with its rules.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

revision=$(status d1 .cluster.revision)
id=$(status d1 .cluster.id)
for host in d1 d2 r1 r2 r3; do power-off $host; done
sleep 2
for host in r3 r2 r1 d2 d1; do power-on $host; done
expect "the cluster serves again" wait_until 30 serves
expect_le "serves_again_ms" "$WAITED" 15000
expect_eq "the cluster's id" "$(status d1 .cluster.id)" "$id"
expect_ge revision "$(status d1 .cluster.revision)" "$revision"
start probe on c probe http "http://$VIP/" --every 10 --for 3
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
