#!/bin/bash
# The demo on virtual machines: a cluster is formed, serves, loses its director, loses a web server, and gets both back. See --help.
set -euo pipefail
. "$(dirname "$(readlink -f "$0")")/../scripts/lib.sh"
. "$ROOT/vagrant/demo-lib.sh"

usage() {
  cat <<'HELP'
Usage: vagrant/demo.sh [--json] [--keep] [--every MS]

Starts those machines of vagrant/Vagrantfile that do not run, forms a cluster of them unless they are one, applies a cluster file, shows the status as
every node tells it, sends requests from the client, cuts the power of the director that holds the VIP, crashes the web server of web1, brings both
back, and ends with a table of what the client saw.

  --json      print one JSON object as the last line, with the keys of scripts/demo's, and: rejoin_ms failed_requests_return recovery_ms
              took_over every_ms timing
  --keep      leave the machines running that the demo has made. Without it, those that it made itself are destroyed in the end; machines that were
              there before, running or not, stay and run
  --every MS  a request each so many ms (default 20, and 100 where the machines are emulated: six of them on two cores carry few more)

The Vagrantfile's variables (LVS_BOX, LVS_REAL_SERVERS, LVS_MEMORY, LVS_DRIVER…) count here, too. vagrant/README.md says how to begin.

Exit status: 0 every expectation held; 1 one did not; 2 wrong usage; 98 the machines or the cluster could not be set up, and why is said on standard error.
HELP
}

JSON='' KEEP='' EVERY=''
while [ $# -gt 0 ]; do
  case $1 in
  --json) JSON=yes ;;
  --keep) KEEP=yes ;;
  --every) [[ ${2:-} =~ ^[1-9][0-9]*$ ]] && EVERY=$2 && shift || die 2 "--every wants a number of milliseconds" ;;
  -h | --help) usage && exit ;;
  *) die 2 "unknown option $1 (vagrant/demo.sh --help)" ;;
  esac
  shift
done
for tool in vagrant ssh jq; do command -v $tool >/dev/null || die 98 "$tool is missing: install it (vagrant/README.md), then run me again"; done

SERVERS=${LVS_REAL_SERVERS:-3} VIP=192.168.56.100 SEED=192.168.56.11
[ "$SERVERS" -ge 2 ] 2>/dev/null || die 2 "LVS_REAL_SERVERS is $SERVERS, and the demo wants 2 or more"
REAL_SERVERS=() && for ((i = 1; i <= SERVERS; i++)); do REAL_SERVERS+=("web$i"); done
DIRECTORS=(lb1 lb2) NODES=(lb1 lb2 "${REAL_SERVERS[@]}")
# Bounds of a virtual machine on hardware; an emulated one is ten times slower and the cluster has the timing profile wan, with a lease of 2 s.
EMULATED='' TIMING=${LVS_TIMING:-lan} TIMEOUT=1000 OUTAGE_MAX=1000 ISOLATION_MAX=4000 REJOIN_MAX=30000 PATIENCE=60 CHECK='1s 500ms'
if [ "${LVS_DRIVER:-kvm}" = qemu ]; then
  EMULATED=' (emulated)' TIMING=${LVS_TIMING:-wan} TIMEOUT=5000 OUTAGE_MAX=5000 ISOLATION_MAX=8000 REJOIN_MAX=60000 PATIENCE=300 CHECK='2s 1900ms'
  EVERY=${EVERY:-100}
fi
EVERY=${EVERY:-20}

cat <<PLAN
This demo runs on $((SERVERS + 3)) virtual machines of this computer: a client, directors lb1 and lb2, real servers ${REAL_SERVERS[*]}. It forms a cluster, sends
requests, cuts the power of the director that holds the VIP, crashes a web server, brings both back, and ends with a table of what the client saw.
PLAN
now=0 back=0 crash=0
now_ms BEGIN

step "The machines are started: vagrant up."
machines_up
step "The machines are up. The client and the cluster's nodes are on 192.168.56.0/24; the VIP will be $VIP."
step "The cluster is formed: init on lb1, join with lb1 as seed everywhere else. Who is a member already stays one."
form_cluster || give_up "the cluster could not be formed"
for server in "${REAL_SERVERS[@]}"; do on "$server" sudo systemctl start nginx || give_up "nginx does not start on $server"; done
cluster_file | on lb1 tee cluster.toml >/dev/null
run lb1 sudo lvs-agent apply cluster.toml || give_up "the cluster file was not applied"
wait_until $PATIENCE serves || give_up "the cluster does not serve after $PATIENCE s"

step "Every node tells the same of the cluster."
run lb1 sudo lvs-agent status || give_up "no status"
director=$(holder)
partner=$(other "$director")
for node in "${NODES[@]}"; do expect "$node says that $director holds the VIP and hears everybody" wait_until 30 agrees "$node" "$director"; done

step "The client sends a request every $EVERY ms; $director holds the VIP."
watch_holders
watch_arp
start_probe warm
sleep 5
end_probe warm
expect_eq failed_requests_at_rest "$(value failed "$LINE")" 0

step "The power of $director is cut, while the client goes on."
epoch=$(vip_epoch "$partner")
start_probe cut
sleep 2
power_off "$director"
expect "$partner holds the VIP" wait_until $PATIENCE holds "$partner"
sleep 3
end_probe cut
outage=$(value outage_ms "$LINE") failed_failover=$(value failed "$LINE")
expect_le failover_outage_ms "$outage" $OUTAGE_MAX
expect "the epoch of the VIP has changed" test "$(vip_epoch "$partner")" != "$epoch"
start_probe after
sleep 3
end_probe after
expect_eq failed_requests_after_failover "$(value failed "$LINE")" 0

step "$director gets its power back, while the client goes on: vagrant up $director. It rejoins by itself."
epoch=$(vip_epoch "$partner")
start_probe return
power_on "$director"
now_ms back
expect "$director sends to every server" wait_until $((REJOIN_MAX / 1000)) sends_to_all "$director"
expect "$director is heard by $partner" wait_until $((REJOIN_MAX / 1000)) hears "$partner" "$director"
now_ms now
rejoin=$((now - back))
sleep 5
end_probe return
failed_return=$(value failed "$LINE") return_outage=$(value outage_ms "$LINE")
expect_le rejoin_ms "$rejoin" $REJOIN_MAX
expect_eq failed_requests_return "$failed_return" 0
expect "$partner has held the VIP all the time" test "$(holder) $(vip_epoch "$partner")" = "$partner $epoch"

step "The web server of web1 crashes: kill -9 of nginx."
start_probe crash
sleep 1
on web1 sudo systemctl kill -s KILL nginx
now_ms crash
expect "web1 is isolated on both directors" wait_until $PATIENCE both isolates web1
now_ms now
isolation=$((now - crash))
run "$partner" sudo lvs-agent status
end_probe crash
failed_isolation=$(value failed "$LINE") isolation_outage=$(value outage_ms "$LINE")
expect_le isolation_ms "$isolation" $ISOLATION_MAX
start_probe without
sleep 3
end_probe without
expect_eq failed_requests_without_web1 "$(value failed "$LINE")" 0
expect_eq requests_to_web1 "$(requests web1 "$LINE")" 0

step "The web server of web1 comes back."
on web1 sudo systemctl start nginx
now_ms back
expect "both directors send to web1 again" wait_until $PATIENCE both sends_to web1
now_ms now
recovery=$((now - back))
figure recovery_ms "$recovery"
start_probe end
sleep 3
end_probe end
expect_eq failed_requests_at_the_end "$(value failed "$LINE")" 0
holders_max=$(most_holders) arp_macs_max=$(most_macs)
expect_eq holders_max "$holders_max" 1
expect_eq arp_macs_max "$arp_macs_max" 1

ok=$(if [ $BROKEN = 0 ]; then echo true; else echo false; fi)
step "What was measured, with a request every $EVERY ms and the timing profile $TIMING"
[ -z "$EMULATED" ] || echo "    The machines were emulated: their bounds are wider than those of virtual machines on hardware (≤ 1000 and ≤ 4000 ms)."
row() { printf '    %-62s %11s   %s\n' "$@"; }
row "" measured expected
row "power cut of $director: longest wait of the client, ms" "$outage" "≤ $OUTAGE_MAX$EMULATED"
row "power cut: requests that failed" "$failed_failover" ""
row "the VIP's holder before, after and at the end" "$director $partner $(holder)" "$director $partner $partner"
row "$director back: in the cluster so long after vagrant up, ms" "$rejoin" "≤ $REJOIN_MAX$EMULATED"
row "$director back: longest wait of the client, ms" "$return_outage" ""
row "$director back: requests that failed" "$failed_return" 0
row "web crash: isolated on both directors, ms" "$isolation" "≤ $ISOLATION_MAX$EMULATED"
row "web crash: longest wait of the client, ms" "$isolation_outage" ""
row "web crash: requests that failed" "$failed_isolation" ""
row "web server back: in use again, ms" "$recovery" ""
row "most holders of the VIP at any time" "$holders_max" 1
row "most MACs that answered one ARP request for the VIP" "$arp_macs_max" 1
row "every expectation held ($((EXPECTED - BROKEN)) of $EXPECTED)" "$ok" true
take_down
if [ -n "$JSON" ]; then
  # A figure that is no number (nothing was measured) becomes null.
  number() { if [[ $1 =~ ^[0-9]+$ ]]; then echo "$1"; else echo null; fi; }
  printf '{"failover_outage_ms":%s,"failed_requests_failover":%s,"isolation_ms":%s,"failed_requests_isolation":%s,"holders_max":%s,"arp_macs_max":%s,' \
    "$(number "$outage")" "$(number "$failed_failover")" "$(number "$isolation")" "$(number "$failed_isolation")" "$(number "$holders_max")" "$(number "$arp_macs_max")"
  printf '"rejoin_ms":%s,"failed_requests_return":%s,"recovery_ms":%s,"took_over":"%s","every_ms":%s,"timing":"%s","emulated":%s,"ok":%s}\n' \
    "$(number "$rejoin")" "$(number "$failed_return")" "$(number "$recovery")" "$partner" "$EVERY" "$TIMING" \
    "$(if [ -n "$EMULATED" ]; then echo true; else echo false; fi)" "$ok"
fi
[ "$ok" = true ]
