#!/bin/bash
# 1000 services of ten servers each: what the workers of both directors spend while nothing happens, and how soon hand edits are put back all the same.
# lab: --time real --cluster none --real-servers 1 --memory 2048 --timeout 300 -- a table of ten thousand servers takes its time to fill
. "$(dirname "$0")/lib.sh"

SERVICES=1000 SERVERS=10
{
  sed '/^\[\[service\]\]/,$d' "$LVS_LAB_CLUSTER"
  for ((n = 0; n < SERVICES; n++)); do
    printf '[[service]]\nname = "s%d"\nvip = "web"\nprotocol = "tcp"\nport = %d\nscheduler = "wlc"\nforward = "dr"\n' $n $((1000 + n))
    for ((m = 1; m <= SERVERS; m++)); do printf '[[service.server]]\nname = "m%d"\naddress = "10.0.1.%d"\nagentless = true\n' $m $m; done
  done
} >"$SCRATCH/many.toml"
form-cluster --hosts d1,d2 "$SCRATCH/many.toml" || give_up "no cluster of two directors"
entries() { [ "$(on "$1" ipvsadm -Ln | grep -c '10\.0\.1\.')" = $((SERVICES * SERVERS)) ]; }
POLL=1 expect "both directors have all servers of all services" wait_until 60 both entries
# The first looks after that.
sleep 5
spent_ms() { local pid && pid=$(agent-pids "$1" | awk '$1 == "worker" { print $2 }') && awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"; }
director=$(holder)
others=$(other "$director")
begun=0 now=0
now_ms begun
spent=$(spent_ms "$director") spent_by_other=$(spent_ms "$others")
sleep 20
spent=$(($(spent_ms "$director") - spent)) spent_by_other=$(($(spent_ms "$others") - spent_by_other))
now_ms now
expect_le director_ms_per_s_10k $((spent * 1000 / (now - begun))) 100
figure other_director_ms_per_s_10k $((spent_by_other * 1000 / (now - begun)))

# One look with ipvsadm at the whole table takes about as long as all the rest: only the service in question is looked at.
row() { on "$director" ipvsadm -Sn -t "$VIP:$1" 2>/dev/null | sort; }
edit() { # NAME PORT ARGS of ipvsadm
  local before
  before=$(row "$2")
  same() { [ "$(row "$port")" = "$before" ]; }
  port=$2
  on "$director" ipvsadm "${@:3}" || give_up "ipvsadm ${*:3}"
  expect "$1 by hand is put back" wait_until 10 same
  expect_le "$1_back_ms" "$WAITED" 3000
}
edit removal_of_a_server 1500 -d -t "$VIP:1500" -r 10.0.1.5
edit another_weight 1999 -e -t "$VIP:1999" -r 10.0.1.10 -g -w 9
edit removal_of_a_service 1000 -D -t "$VIP:1000"
expect "nobody panicked" no_panic
