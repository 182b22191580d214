#!/bin/bash
# Six nodes that have nothing to do, one of which does not vote: what worker and guard cost in processor time, wake-ups and memory. On this machine's own kernel, since in virtual time computing takes no time.
# lab: --kernel none --time real --cluster none --real-servers 4 --timeout 120
. "$(dirname "$0")/lib.sh"

# The kernel need not have IPVS: no rules are applied here. What they cost is not counted.
others='d2 r1 r2 r3 r4'
start-agent d1
expect "the agent of d1 answers" wait_until 30 answers d1
on d1 lvs-agent init >"$SCRATCH/init" 2>&1 || { cat "$SCRATCH/init" && give_up "no cluster"; }
for host in $others; do start-agent "$host"; done
for host in $others; do
  wait_until 30 answers "$host" || give_up "the agent of $host does not answer"
  roles=real-server && [ "$host" = d2 ] && roles=director
  on "$host" lvs-agent join 10.0.0.11 --token "$(token d1 --roles $roles)" >"$SCRATCH/join.$host" 2>&1 || { cat "$SCRATCH/join.$host" && give_up "$host is not in"; }
done
settled() { [ "$(status d1 '[([.nodes[] | select(.reachable)] | length), (.cluster.voters | length)] | @csv')" = 6,5 ]; }
expect "all six are heard and five vote" wait_until 60 settled
# What a joining leaves to do is done within a few seconds.
sleep 4

# spent PID: processor time in ms, and how often its threads have waited for something and were woken. Its threads live as long as it does.
spent() { awk -v cpu="$(awk '{ print ($14 + $15) * 10 }' "/proc/$1/stat")" '$1 == "voluntary_ctxt_switches:" { n += $2 } END { print cpu, n }' /proc/"$1"/task/*/status; }
declare -A CPU=() WOKEN=()
read_all() { # SIGN
  local host process pid cpu woken
  while read -r host process pid; do
    case "$process $host" in "worker $LEADER") process=leader ;; "worker $LEARNER") process=learner ;; esac
    read -r cpu woken < <(spent "$pid")
    CPU[$process]=$((${CPU[$process]:-0} + $1 * cpu)) WOKEN[$process]=$((${WOKEN[$process]:-0} + $1 * woken))
  done <"$SCRATCH/pids"
}
# shellcheck disable=SC2086
pids d1 $others >"$SCRATCH/pids"
LEADER=$(status d1 .cluster.leader)
LEARNER=$(status d1 '.nodes[] | select(.voter | not) | .name')
begun=0 now=0
now_ms begun
read_all -1
sleep 15
read_all 1
now_ms now
# each NAME COUNT NODES: per second and node.
each() { figure "$1" $(($2 * 1000 / (now - begun) / $3)); }
each worker_ms_per_s "${CPU[worker]}" 4
each worker_wakeups_per_s "${WOKEN[worker]}" 4
each leader_ms_per_s "${CPU[leader]}" 1
each leader_wakeups_per_s "${WOKEN[leader]}" 1
each learner_ms_per_s "${CPU[learner]}" 1
each learner_wakeups_per_s "${WOKEN[learner]}" 1
each guard_ms_per_s "${CPU[guard]}" 6
each guard_wakeups_per_s "${WOKEN[guard]}" 6
leader=$(awk -v host="$LEADER" '$1 == host && $2 == "worker" { print $3 }' "$SCRATCH/pids")
figure leader_memory_kb "$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$leader/status")"
expect "nobody panicked" no_panic
