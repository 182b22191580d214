#!/bin/bash
# The demo: a cluster is formed, serves, loses its director, loses a web server, and gets both back.
# Run by scripts/demo inside the lab; --json adds one JSON object as the last line.
. "$(dirname "$0")/../lib.sh"

JSON=${1:-}
# A guest kernel in real time is an emulated machine, ten times slower than this one, and so is a virtual machine without KVM: fewer requests, and
# wider bounds, which the table names.
EMULATED='' EVERY=5 OUTAGE_MAX=500 ISOLATION_MAX=2000
if [ "$LVS_LAB_TIME" = real ] && { [ "$LVS_LAB_GUEST" = yes ] || [ "$(systemd-detect-virt --vm 2>/dev/null)" = qemu ]; }; then EMULATED=' (emulated)' EVERY=20 OUTAGE_MAX=1500 ISOLATION_MAX=5000; fi
now_ms BEGIN
step() { local now && now_ms now && printf '\n[%3d.%d s] %s\n' $(((now - BEGIN) / 1000)) $(((now - BEGIN) / 100 % 10)) "$*"; }
run() { printf '    $ %s\n' "$*" && "$@" 2>&1 | sed 's/^/    /' && return "${PIPESTATUS[0]}"; }

step "Six hosts are up: client c, directors d1 and d2, real servers r1, r2 and r3. Nobody serves $VIP yet."
step "The cluster is formed: init on d1, join with d1 as seed everywhere else, then the cluster file is applied."
run form-cluster "$(dirname "$0")/../../cluster.toml" || give_up "the cluster could not be formed"
run on d1 lvs-agent status || give_up "no status"

director=$(holder)
partner=$(other "$director")
step "The client sends a request every $EVERY ms; $director holds the VIP."
start warm on c probe http "http://$VIP/" --every $EVERY --for 2
join_line warm
expect_eq failed_requests_at_rest "$(value failed "$LINE")" 0

step "The power of $director is cut, while the client goes on."
start watch watch-holders --every $EVERY --arp-every $((10 * EVERY)) --for 22
start probe on c probe http "http://$VIP/" --every $EVERY --for 5
sleep 1
power-off "$director"
join_line probe
outage=$(value outage_ms "$LINE")
failed_failover=$(value failed "$LINE")
expect_le failover_outage_ms "$outage" $OUTAGE_MAX
expect "$partner holds the VIP" holds "$partner"
start after on c probe http "http://$VIP/" --every $EVERY --for 1
join_line after
expect_eq failed_requests_after_failover "$(value failed "$LINE")" 0

step "$director gets its power back; it rejoins by itself."
power-on "$director"
expect "$director sends to every server" wait_until 10 sends_to_all "$director"

step "The web server of r1 crashes."
start probe on c probe http "http://$VIP/" --every $((2 * EVERY)) --for 4
now_ms crash
crash-web r1
expect "r1 is isolated on both directors" wait-pool r1 d1 d2 --out --within 5
now_ms now
isolation=$((now - crash))
expect_le isolation_ms "$isolation" $ISOLATION_MAX
run on "$partner" lvs-agent status
join_line probe
failed_isolation=$(value failed "$LINE")

step "The web server of r1 comes back."
start-web r1
expect "both directors send to r1 again" wait_until 10 both sends_to r1
figure recovery_ms "$WAITED"
start after on c probe http "http://$VIP/" --every $EVERY --for 1
join_line after
expect_eq failed_requests_at_the_end "$(value failed "$LINE")" 0
join_line watch
holders_max=$(value holders_max "$LINE")
arp_macs_max=$(value arp_macs_max "$LINE")
expect_eq holders_max "$holders_max" 1
expect_eq arp_macs_max "$arp_macs_max" 1

ok=$(if [ $BROKEN = 0 ]; then echo true; else echo false; fi)
step "What was measured"
[ -z "$EMULATED" ] || echo "    The hosts were emulated, in real time: bounds marked so are wider than those of a real machine (≤ 500 and ≤ 2000 ms)."
printf '    %-50s %10s   %s\n' "" measured expected
row() { printf '    %-50s %10s   %s\n' "$@"; }
row "power cut: longest wait of the client, ms" "$outage" "≤ $OUTAGE_MAX$EMULATED"
row "power cut: requests that failed (one each $EVERY ms)" "$failed_failover" ""
row "web crash: isolated on both directors, ms" "$isolation" "≤ $ISOLATION_MAX$EMULATED"
row "web crash: requests that failed (one each $((2 * EVERY)) ms)" "$failed_isolation" ""
row "most holders of the VIP at any sample (each $EVERY ms)" "$holders_max" 1
row "most MACs that answered ARP for the VIP" "$arp_macs_max" 1
row "every expectation held" "$ok" true
if [ "$JSON" = --json ]; then
  # A figure that is no number (nothing was measured) becomes null.
  number() { if [[ $1 =~ ^[0-9]+$ ]]; then echo "$1"; else echo null; fi; }
  printf '{"failover_outage_ms":%s,"failed_requests_failover":%s,"isolation_ms":%s,"failed_requests_isolation":%s,"holders_max":%s,"arp_macs_max":%s,"emulated":%s,"ok":%s}\n' \
    "$(number "$outage")" "$(number "$failed_failover")" "$(number "$isolation")" "$(number "$failed_isolation")" \
    "$(number "$holders_max")" "$(number "$arp_macs_max")" "$(if [ -n "$EMULATED" ]; then echo true; else echo false; fi)" "$ok"
  trap - EXIT
  [ "$ok" = true ]
  exit
fi
