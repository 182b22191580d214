#!/bin/bash
# 28 real servers join two directors at once: what that, and 30 nodes at rest, cost the leader in processor time. On this machine's own kernel, since in virtual time computing takes no time.
# lab: --kernel none --time real --cluster none --real-servers 28 --zones 3 --timeout 600 -- thirty agents start and join in real time, and twenty seconds are measured
. "$(dirname "$0")/lib.sh"

# The kernel need not have IPVS: no rules are applied here. What they cost is not counted.
servers=$(seq -f 'r%.0f' 28)
start-agent d1
expect "the agent of d1 answers" wait_until 30 answers d1
on d1 lvs-agent init >"$SCRATCH/init" 2>&1 || { cat "$SCRATCH/init" && give_up "no cluster"; }
for host in d2 $servers; do start-agent "$host"; done
for host in d2 $servers; do wait_until 60 answers "$host" || give_up "the agent of $host does not answer"; done
on d2 lvs-agent join 10.0.0.11 --token "$(token d1 --roles director)" >"$SCRATCH/join.d2" 2>&1 || { cat "$SCRATCH/join.d2" && give_up "d2 is not in"; }

worker() { agent-pids "$1" | awk '$1 == "worker" { print $2; exit }'; }
cpu_ms() { awk '{ print ($14 + $15) * 10 }' "/proc/$1/stat"; }
sent_bytes() { cat "/sys/class/net/d1-0/statistics/rx_bytes"; }
join=$(token d1 --uses 28)
leader=$(worker d1) begun=0 now=0
now_ms begun
cpu=$(cpu_ms "$leader") bytes=$(sent_bytes)
# The machine may be busy with other things; then some ask again.
join_in_time() { wait_until 120 on "$1" lvs-agent join 10.0.0.11 10.0.0.12 --token "$join"; }
for server in $servers; do join_in_time "$server" >"$SCRATCH/join.$server" 2>&1 & PIDS[$server]=$!; done
failed=''
for server in $servers; do wait "${PIDS[$server]}" || { failed+=" $server" && tail -n 2 "$SCRATCH/join.$server"; }; done
expect_eq "who could not join" "$failed" ""
heard() { [ "$(status d1 '[.nodes[] | select(.reachable)] | length')" = 30 ]; }
expect "all 30 are heard" wait_until 60 heard
now_ms now
figure all_in_ms $((now - begun))
figure leader_cpu_ms_while_joining $(($(cpu_ms "$leader") - cpu))
figure leader_bytes_while_joining $(($(sent_bytes) - bytes))

five() { [ "$(status d1 '.cluster.voters | length')" = 5 ]; }
expect "five nodes vote" wait_until 120 five
other=$(worker r9)
cpu=$(cpu_ms "$leader") cpu_r9=$(cpu_ms "$other") bytes=$(sent_bytes)
now_ms begun
sleep 20
now_ms now
spent() { echo $(($1 * 1000 / (now - begun))); }
figure leader_cpu_ms_per_s_at_rest "$(spent $(($(cpu_ms "$leader") - cpu)))"
figure r9_cpu_ms_per_s_at_rest "$(spent $(($(cpu_ms "$other") - cpu_r9)))"
figure leader_bytes_per_s_at_rest "$(spent $(($(sent_bytes) - bytes)))"
figure leader_memory_kb "$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$leader/status")"
figure leader "$(status d1 .cluster.leader)"
expect "nobody panicked" no_panic
