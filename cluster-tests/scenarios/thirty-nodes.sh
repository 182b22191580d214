#!/bin/bash
# 28 real servers join two directors at once with one token: all are in within ten seconds, five vote, the rules are everywhere.
# lab: --cluster none --real-servers 28 --zones 3 --memory 4096 --timeout 1500 -- thirty agents run
. "$(dirname "$0")/lib.sh"

servers=$(seq -f 'r%.0f' 28)
{
  sed '/^\[\[service.server\]\]/,$d' "$LVS_LAB_CLUSTER"
  for server in $servers; do printf '[[service.server]]\nname = "%s"\naddress = "%s"\n' "$server" "$(address "$server")"; done
} >"$SCRATCH/all.toml"
form-cluster --hosts d1,d2 "$SCRATCH/all.toml" || give_up "no cluster of two directors"
join=$(token d1 --uses 28)
# shellcheck disable=SC2086
start-agent $servers
for server in $servers; do wait_until 10 answers "$server" || give_up "the agent of $server does not answer"; done

leader=$(status d1 .cluster.leader)
sent_bytes() { cat "/sys/class/net/$1-0/statistics/rx_bytes"; }
now_ms begun
bytes=$(sent_bytes "$leader")
for server in $servers; do on "$server" lvs-agent join 10.0.0.11 10.0.0.12 --token "$join" >"$SCRATCH/join.$server" 2>&1 & PIDS[$server]=$!; done
failed=''
for server in $servers; do wait "${PIDS[$server]}" || { failed+=" $server" && tail -n 2 "$SCRATCH/join.$server"; }; done
now_ms now
expect_eq "who could not join" "$failed" ""
expect_le joins_done_ms $((now - begun)) 10000
heard() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = 30 ]; }
expect "the leader hears all 30" wait_until 10 heard "$leader"
now_ms now
expect_le all_in_ms $((now - begun)) 10000
figure leader_bytes_per_s_while_joining $((($(sent_bytes "$leader") - bytes) * 1000 / (now - begun)))

all_in() { for server in $servers; do sends_to "$1" "$server" || return 1; done; }
in_table() { on "$1" ipvsadm -Ln | awk '$1 == "->" && $2 ~ /^10/ && $4 > 0' | wc -l; }
sends_to_28() { [ "$(in_table "$1")" = 28 ]; }
expect "both directors send to all 28" wait_until 30 both sends_to_28
now_ms now
figure all_serve_ms $((now - begun))
revision=$(status d1 .cluster.revision)
behind=''
for server in $servers; do [ "$(status "$server" .cluster.revision)" = "$revision" ] || behind+=" $server"; done
expect_eq "who has other rules" "$behind" ""
five() { [ "$(status d1 '.cluster.voters | length')" = 5 ]; }
POLL=1 expect "five nodes vote" wait_until 60 five
status d1 '.nodes[] | select(.voter) | [.name, .zone, .voter_why] | @tsv'
expect_eq "zones of the voters" "$(status d1 '[.nodes[] | select(.voter) | .zone] | unique | join(" ")')" "z1 z2 z3"
expect_eq "directors that vote" "$(status d1 '[.nodes[] | select(.voter and (.roles | index("director"))) | .name] | join(" ")')" "d1 d2"

voters=$(status d1 '.cluster.voters | join(" ")')
bytes=$(sent_bytes "$leader")
traffic 30
sleep 20
figure leader_bytes_per_s_at_rest $((($(sent_bytes "$leader") - bytes) / 20))
undisturbed
expect_eq "the voters" "$(status d1 '.cluster.voters | join(" ")')" "$voters"
expect "nobody panicked" no_panic
