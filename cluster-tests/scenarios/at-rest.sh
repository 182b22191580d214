#!/bin/bash
# What agents that have nothing to do cost in processor time, wake-ups and memory, of 6 nodes and of 30, with a VIP held by lease; beside them keepalived.
# lab: --kernel none --time real --cluster none --real-servers 28 --timeout 300 -- thirty agents run, in real time: on this machine's own kernel, since in virtual time computing takes no time
. "$(dirname "$0")/lib.sh"

# join_all TOKEN HOST…: starts their agents and has them join, eight at once. Thirty agents keep a small machine busy: who is not in after the first time tries again.
join_all() {
  local token=$1 host
  shift
  start-agent "$@"
  for host in "$@"; do wait_until 30 answers "$host" || give_up "the agent of $host does not answer"; done
  while [ $# -gt 0 ]; do
    for host in "${@:1:8}"; do join "$host" "$token" & PIDS[$host]=$!; done
    for host in "${@:1:8}"; do wait "${PIDS[$host]}" || join "$host" "$token" || tail -n 2 "$SCRATCH/join.$host"; done
    shift $(($# < 8 ? $# : 8))
  done
}
join() { on "$1" lvs-agent join 10.0.0.11 --token "$2" >"$SCRATCH/join.$1" 2>&1; }
settled() { [ "$(status d1 '[([.nodes[] | select(.reachable)] | length), (.cluster.voters | length)] | @csv')" = "$1,5" ]; }

# has_keepalived NAME LINE…: keepalived on the client, with one VRRP instance that holds an address; the lines say how often it announces that.
# Its checkers want IPVS: where this kernel has none, there is only the VRRP process and the one that looks after it.
has_keepalived() {
  local name=$1 checkers=''
  shift
  [ ! -e /proc/net/ip_vs ] || checkers="virtual_server 10.0.0.200 80 {
  delay_loop 1
  lb_algo wlc
  lb_kind DR
  protocol TCP
  $(for server in r1 r2 r3; do echo "real_server $(address $server) 80 { HTTP_GET { url { path / status_code 200 } connect_timeout 1 } }"; done)
}"
  printf '%s\n' 'global_defs {' '  vrrp_garp_master_refresh 0' '}' 'vrrp_instance web {' '  interface eth0' '  virtual_router_id 51' '  priority 100' '  state MASTER' \
    "$@" '  virtual_ipaddress { 10.0.0.200/32 }' '}' "$checkers" >"$SCRATCH/$name.conf"
  on c keepalived -n -l -f "$SCRATCH/$name.conf" -p "$SCRATCH/$name.pid" -r "$SCRATCH/$name.vrrp" -c "$SCRATCH/$name.check" >"$LVS_LAB_LOG/$name.log" 2>&1 &
  expect "$name holds an address" wait_until 10 keepalived_holds
}
keepalived_holds() { on c ip -o addr show dev eth0 | grep -q ' 10.0.0.200/32 '; }
end_keepalived() { kill "$(cat "$SCRATCH/$1.pid")" && wait_until 10 not keepalived_holds; }
keepalived_pids() { local parent && parent=$(cat "$SCRATCH/$1.pid") && echo "$parent" && pgrep -P "$parent"; }

# spent PID: processor time in us, and how often its threads have waited for something and were woken. Its threads live as long as it does.
spent() {
  echo "$(awk '{ ns += $1 } END { printf "%d", ns / 1000 }' /proc/"$1"/task/*/schedstat)" \
    "$(awk '$1 == "voluntary_ctxt_switches:" { n += $2 } END { print n }' /proc/"$1"/task/*/status)"
}
declare -A CPU=() WOKEN=() RSS=() OWN=() NODES=() GOAL=()
# goals CLASS MS WAKEUPS RSS: "-" where there is none.
goals() { GOAL[$1]="$2 $3 $4"; }
read_all() { # SIGN
  local class host pid cpu woken
  while read -r class host pid; do
    read -r cpu woken < <(spent "$pid")
    CPU[$class]=$((${CPU[$class]:-0} + $1 * cpu)) WOKEN[$class]=$((${WOKEN[$class]:-0} + $1 * woken))
  done <"$SCRATCH/classes"
}
read_memory() {
  local class host pid
  while read -r class host pid; do
    RSS[$class]=$((${RSS[$class]:-0} + $(awk '$1 == "VmRSS:" { print $2 }' "/proc/$pid/status")))
    OWN[$class]=$((${OWN[$class]:-0} + $(own_kb "$pid" "$class")))
  done <"$SCRATCH/classes"
}
# own_kb PID CLASS: what a process has in memory that is not its program's. keepalived's processes share that, hence the kernel's word on each one's part of it.
# The kernel's word on ours would count the program as shared by the agents of all nodes.
own_kb() {
  case $2 in
  keepalived*) awk '$1 == "Pss:" { print $2 }' "/proc/$1/smaps_rollup" ;;
  *) awk '$1 == "RssAnon:" { print $2 }' "/proc/$1/status" ;;
  esac
}
# measure SECONDS: of the lines "CLASS HOST PID" in $SCRATCH/classes; prints a figure for each class and node, and keeps a line of the table.
measure() {
  local begun now class name unit value wanted ms wakeups rss
  now_ms begun
  read_all -1
  sleep "$1"
  read_all 1
  now_ms now
  read_memory
  for class in $(cut -d ' ' -f 1 "$SCRATCH/classes" | sort -u); do
    NODES[$class]=$(awk -v class="$class" '$1 == class { print $2 }' "$SCRATCH/classes" | sort -u | wc -l)
    read -r ms wakeups rss <<<"${GOAL[$class]:-- - -}"
    # Tenths, since some of them take less than a millisecond.
    value=$((CPU[$class] * 10 / (now - begun) / NODES[$class]))
    figure "${class}_ms_per_s" "$((value / 10)).$((value % 10))$(of_goal "$ms")"
    figure "${class}_wakeups_per_s" "$((WOKEN[$class] * 1000 / (now - begun) / NODES[$class]))$(of_goal "$wakeups")"
    figure "${class}_rss_kb" "$((RSS[$class] / NODES[$class]))$(of_goal "$rss")"
    figure "${class}_own_kb" $((OWN[$class] / NODES[$class]))
    printf '%-22s %5s %4s %7s %4s %7s %6s %7s\n' "$class" "$((value / 10)).$((value % 10))" "$ms" $((WOKEN[$class] * 1000 / (now - begun) / NODES[$class])) "$wakeups" \
      $((RSS[$class] / NODES[$class])) "$rss" $((OWN[$class] / NODES[$class])) >>"$SCRATCH/table"
  done
}
of_goal() { [ "$1" = - ] || echo " (goal $1)"; }
has_leader() { [ "$(status d1 '.cluster.leader // ""')" != "" ]; }
# What each agent's processes are. A suffix tells classes of the large cluster apart.
classify() { # SUFFIX HOST…
  local suffix=$1 leader voters holder class
  shift
  wait_until 10 has_leader || give_up "there is no leader"
  leader=$(status d1 .cluster.leader) voters=" $(status d1 '.cluster.voters | join(" ")') " holder=$(holder)
  pids "$@" | while read -r host process pid; do
    case $process in
    worker) if [ "$host" = "$leader" ]; then class=leader; elif [[ $voters == *" $host "* ]]; then class=worker; else class=learner; fi ;;
    guard) if [ "$host" = "$holder" ]; then class=guard_with_vip; else class=guard; fi ;;
    *) continue ;;
    esac
    echo "$class$suffix $host $pid"
  done >"$SCRATCH/classes"
}

goals worker 8 - 25000
goals leader - - 25000
goals learner - - 25000
goals guard 2 - 8000
goals guard_with_vip 2 - 8000

start-agent d1
expect "the agent of d1 answers" wait_until 30 answers d1
on d1 lvs-agent init >"$SCRATCH/init" 2>&1 || { cat "$SCRATCH/init" && give_up "no cluster"; }
join_all "$(token d1 --roles director)" d2
join_all "$(token d1 --roles real-server --uses 4)" r1 r2 r3 r4
# A cluster without services wants no IPVS, so that its VIP is held on any kernel. What rules cost is not counted.
printf '%s\n' '[[vip]]' 'name = "web"' "addresses = [\"$VIP\"]" 'interface = "eth0"' >"$SCRATCH/vip.toml"
on d1 lvs-agent apply "$SCRATCH/vip.toml" || give_up "the VIP is not applied"
expect "the VIP is held" wait_until 10 held
expect "all six are heard and five vote" wait_until 60 settled 6
has_keepalived keepalived_1s '  advert_int 1'
# What a joining leaves to do is done within a few seconds.
sleep 3
classify '' d1 d2 r1 r2 r3 r4
for pid in $(keepalived_pids keepalived_1s); do echo "keepalived_1s c $pid"; done >>"$SCRATCH/classes"
[ -e /proc/net/ip_vs ] || echo "keepalived's checkers are not measured: this kernel has no IPVS, without which they do not start"
measure 10
expect_le worker_memory_kb $((RSS[worker] / NODES[worker])) 25000
expect_le leader_memory_kb $((RSS[leader] / NODES[leader])) 25000
expect_le guard_memory_kb $((RSS[guard_with_vip] / NODES[guard_with_vip])) 8000
end_keepalived keepalived_1s

many=$(seq -f 'r%.0f' 5 28)
# shellcheck disable=SC2086
join_all "$(token d1 --roles real-server --uses 24)" $many
expect "all thirty are heard and five vote" wait_until 90 settled 30
has_keepalived keepalived_50ms '  version 3' '  advert_int 0.05'
sleep 4
# shellcheck disable=SC2086
classify _of_30 d1 d2 r1 r2 r3 r4 $many
for pid in $(keepalived_pids keepalived_50ms); do echo "keepalived_50ms c $pid"; done >>"$SCRATCH/classes"
measure 10
end_keepalived keepalived_50ms

echo
printf '%-22s %5s %4s %7s %4s %7s %6s %7s\n' '' ms/s goal wakes/s goal rss_kB goal own_kB
cat "$SCRATCH/table"
echo "ms/s: processor time of the process on each node; rss: what is in memory for it; own: the same without the program's file, which worker and guard share"
echo "(of keepalived: with the file, each part once). A node's agent takes the worker's rss and the guard's own."
figure agent_memory_kb $((RSS[worker] / NODES[worker] + OWN[guard_with_vip]))
figure keepalived_memory_kb "${OWN[keepalived_1s]}"
expect "nobody panicked" no_panic
