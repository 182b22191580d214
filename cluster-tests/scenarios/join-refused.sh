#!/bin/bash
# Who may not join: no token, a used, expired, revoked, forged, damaged or another cluster's one, a captured join, a taken name.
# lab: --cluster none --real-servers 6 --timeout 900 -- attempts to join are rate-limited: it waits between them, and for a token of a minute to expire
. "$(dirname "$0")/lib.sh"

form-cluster --hosts d1,d2,r1,r2,r3 || give_up "no cluster"
# r6 has a cluster of its own: its tokens are in order, but prove another CA.
has_roles r6 director && start-agent r6
wait_until 5 answers r6
foreign=$(on r6 lvs-agent init --json | jq -r .token.token)
start-agent r4 && start-agent r5
wait_until 5 answers r4 && wait_until 5 answers r5
# Outside of a cluster: no real server makes one, and every command says the same.
refused "init on a real server" 'r4 is no director: agent.toml says `roles = \["real-server"\]`.*add "director" to `roles`' on r4 lvs-agent init
expect_eq "what is left of that on r4" "$(on r4 sh -c 'ls /var/lib/lvs-agent | grep -c "^ca-"')" 0
for command in "node list" "node list --json" "node remove r1 --yes" "token list" export leave "keys rotate"; do
  # shellcheck disable=SC2086
  on r4 lvs-agent $command >"$SCRATCH/said" 2>&1
  expect_eq "the exit code of $command outside of a cluster" $? 5
  expect "$command outside of a cluster says what to do" grep -qF 'not in a cluster: run `lvs-agent init`, or `lvs-agent join' "$SCRATCH/said"
done
refused "leave on the only node of a cluster" "r6 is the only node of cluster .* ends with it.*--yes" on r6 lvs-agent leave </dev/null
expect "r6's cluster is still there" knows r6 r6
short=$(token d1 --ttl 1m)
now_ms short_made
once=$(token d1)
on d1 lvs-agent token create --json >"$SCRATCH/revoked"
revoked=$(jq -r .token "$SCRATCH/revoked")
on d1 lvs-agent token revoke "$(jq -r .id "$SCRATCH/revoked")"
forged=$(forge-token "$(status d1 .cluster.security.authority)")
before=$(members d1)
traffic 300

# attempt NAME WORDS TOKEN: r4 is refused with these words, and the cluster has logged it. Time passes in between: attempts are rate-limited.
attempt() {
  mark
  refused "$1" "$2" on r4 lvs-agent join 10.0.0.11 --token "$3"
  sleep 1
  expect "the cluster has logged $1" logged "$LOG" d1 d2 r1 r2 r3
  sleep 8
}
LOG='(refused|not let in).*from=10\.0\.0\.24'
# Refused by the node's own agent, before anybody is asked.
refused "a node without a token" "token create" on r4 lvs-agent join 10.0.0.11
sleep 8
attempt "a forged token" "not valid|token create" "$forged"
attempt "a revoked token" "not valid|revoked" "$revoked"
case $once in *a) damaged=${once%?}b ;; *) damaged=${once%?}a ;; esac
refused "a damaged token" "damaged" on r4 lvs-agent join 10.0.0.11 --token "$damaged"
refused "r4's own address as its seed" "10.0.0.24:7400 is this node itself: .*lvs-agent init" on r4 lvs-agent join 10.0.0.24 --token "$once"
refused "a seed where no agent is in a cluster" "10.0.0.25:7400: cannot connect: " on r4 lvs-agent join 10.0.0.25 --token "$once"
expect_eq "how often its address is said" "$(grep -o 10.0.0.25 "$SCRATCH/said" | wc -l)" 1
refused "another cluster's token" "another cluster|other cluster|ca" on r4 lvs-agent join 10.0.0.11 --token "$foreign"
sleep 8

start capture capture "$SCRATCH/join.pcap" --for 6
sleep 1
expect "r5 joins with the token that r4 will try" on r5 lvs-agent join 10.0.0.11 --token "$once"
join_line capture
attempt "a token that is used up" "not valid|used" "$once"
joined=$(members d1)
on c replay "$SCRATCH/join.pcap" --only raft | tee "$SCRATCH/replayed"
sleep 2
expect_ge replayed_connections "$(value connections "$(cat "$SCRATCH/replayed")")" 1
expect_eq "the members after a captured join was sent again" "$(members d1)" "$joined"
expect_eq "the members but for r5" "${joined/ r5/}" "$before"

# A minute after it was made.
now_ms now
sleep $(((62000 - now + short_made) / 1000 + 1))
attempt "an expired token" "expired|not valid" "$short"

stop-agent r4 && has_roles r4 director && start-agent r4
wait_until 5 answers r4
attempt "a director with a real server's token" "token create --roles director" "$(token d1 --roles real-server)"
stop-agent r4 && has_roles r4 real-server && renamed r4 r1 && start-agent r4
wait_until 5 answers r4
attempt "a second r1" "r1" "$(token d1)"
expect "the name that is taken is named with its address" grep -q 10.0.0.21 "$SCRATCH/said"
stop-agent r4 && renamed r4 r4 && start-agent r4
wait_until 5 answers r4

good=$(token d1)
# What the last attempt was told must not count.
tries=0 && : >"$SCRATCH/said"
while [ $tries -lt 40 ] && ! grep -qE "too many (requests|attempts)" "$SCRATCH/said"; do
  tries=$((tries + 1))
  on r4 lvs-agent join 10.0.0.11 --token "$forged" >"$SCRATCH/said" 2>&1
done
cat "$SCRATCH/said"
expect_ge attempts_until_rate_limited $tries 2
expect_le attempts_until_rate_limited $tries 39
sleep 40
expect "r6 leaves, and its cluster ends, where that is said" said on r6 lvs-agent leave --yes
expect "r4 joins with a good token" on r4 lvs-agent join 10.0.0.11 --token "$good"
expect "r4 is heard" wait_until 10 hears d1 r4
expect "nobody panicked" no_panic
expect "no token is in a log" not grep -l "lvs1_" "$LVS_LAB_LOG"/*.agent.log
undisturbed
