#!/bin/bash
# Five machines: two directors, two real servers, a client that asks all the time, while each is rebooted, loses its power, is upgraded, in turn.
. "$(dirname "$0")/lib.sh"
DIRECTORS='d1 d2' SERVERS='r1 r2' NODES='d1 d2 r1 r2'
# Longest waits of a client: in order, nobody waits longer than a request takes; without warning, a lease (lan 300 ms, wan 2 s) and an election of the holder.
if [ "$VM_ACCEL" = tcg ]; then TIMING=wan MARK='(emulated, timing wan)' EVERY=100; else TIMING=lan MARK='' EVERY=20; fi
PATIENCE=5000
OUTAGE_MAX=$((500 * SLOW + (SLOW > 1 ? 5000 : 0)))

# part NAME: whether this part of the story was asked for (scripts/vm-test --parts); all are, unless some are named.
part() { [ -z "${VM_PARTS:-}" ] || [[ ",$VM_PARTS," == *",$1,"* ]]; }

roles() { case $1 in d*) echo director ;; r*) echo real-server ;; esac; }
partner() { if [ "$1" = d1 ]; then echo d2; else echo d1; fi; }
all_in() { [ "$(pool "$1")" = "$SERVERS" ]; }
settled() { local name && for name in $NODES; do hears_all "$name" 4 || return 1; done; held && all_in d1 && all_in d2; }
settle() { POLL=1 wait_until $((60 * SLOW)) settled || { status d1 . >"$VM_WORK/status.d1"; verdict no "everybody is back: heard $(status d1 '[.nodes[] | select(.reachable) | .name] | join(" ")'), in $(pool d1) and $(pool d2), held by $(holder | tr '\n' ' ')"; }; }
# asked NAME CMD…: runs CMD while the client asks; leaves the probe's line in $LINE.
asked() {
  local name=$1
  # Not by a function: what ends the probe must reach the program itself.
  start probe "$VM_LAB" probe http "http://$VIP/" --every "$EVERY" --timeout "$PATIENCE" --for 3600 --log "$VM_WORK/probe.$name"
  sleep 2
  "${@:2}"
  sleep $((2 + SLOW / 2))
  expect "the client asked all the time ($name)" end probe
  join_line probe
  figure "failed.$name" "$(value failed "$LINE")"
  figure "longest_wait_ms.$name" "$(value outage_ms "$LINE")"
}

lan $NODES
for name in $NODES; do disk "$name" && power_on "$name"; done
step "Four machines boot."
up $NODES
called $NODES
figure boot_ms "$(($(date +%s%3N) - BEGIN))"

step "The package is installed on each; configure; init on d1, join elsewhere."
install_on() { copy_to "$1" "$VM_DEB" && on "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "/var/tmp/$(basename "$VM_DEB")" >"$VM_WORK/install.$1" 2>&1; }
for name in $NODES; do expect "installed on $name" install_on "$name"; done
for name in $SERVERS; do on "$name" sh -c "hostname >/var/www/html/index.html; systemctl enable -q --now nginx" 2>/dev/null; done
for name in $NODES; do expect "configure on $name" said on "$name" lvs-agent configure --roles "$(roles "$name")" --timing $TIMING; done
token=$(on d1 lvs-agent init --json | jq -r .token.token)
for name in d2 $SERVERS; do expect "$name joins" said on "$name" lvs-agent join "$(place d1)" --token "$token"; done
interface=$(on d1 ip -o route get $NETWORK.1 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
{
  printf '[[vip]]\nname = "web"\naddresses = ["%s"]\ninterface = "%s"\n\n' "$VIP" "$interface"
  printf '[[service]]\nname = "http"\nvip = "web"\nport = 80\nscheduler = "rr"\n\n[service.check]\ntype = "http"\npath = "/"\nstatus = [200]\ninterval = "1s"\ntimeout = "%s"\n' "$(if [ "$VM_ACCEL" = tcg ]; then echo 900ms; else echo 500ms; fi)"
  for name in $SERVERS; do printf '\n[[service.server]]\nname = "%s"\naddress = "%s"\n' "$name" "$(place "$name")"; done
} >"$VM_WORK/cluster.toml"
copy_to d1 "$VM_WORK/cluster.toml"
expect "plan" said on d1 lvs-agent plan /var/tmp/cluster.toml
expect "apply" said on d1 lvs-agent apply --strict /var/tmp/cluster.toml
expect "the cluster serves" settle
said on r2 lvs-agent status
expect "export gives the rules back" on d2 sh -c 'lvs-agent export >/var/tmp/exported.toml && lvs-agent plan --exit-code /var/tmp/exported.toml'
expect "a token for later" said on d2 lvs-agent token create --roles real-server
expect "all tokens are revoked" said on d2 sh -c 'for id in $(lvs-agent token list --json | jq -r ".[].id"); do lvs-agent token revoke "$id" || exit; done'
asked at-rest sleep 10
expect_eq "failed at rest" "$(value failed "$LINE")" 0

if part reboots; then
  step "Each machine is rebooted, in order, while the client asks."
  for name in r1 r2 "$(partner "$(holder)")" "$(holder)"; do
    asked "reboot-$name" reboot_of "$name"
    expect_eq "failed while $name was rebooted" "$(value failed "$LINE")" 0
    settle
    figure "back_after_reboot_ms.$name" "$WAITED"
  done
fi

if part power-cuts; then
  step "Each machine loses its power, in turn."
  for name in r1 r2 "$(partner "$(holder)")" "$(holder)"; do
    asked "power-cut-$name" power_cut "$name"
    expect_le "longest wait after the power cut of $name, ms $MARK" "$(value outage_ms "$LINE")" $((OUTAGE_MAX + PATIENCE * (SLOW > 1)))
    forget "$name"
    before=$(holder)
    power_on "$name"
    up "$name"
    settle
    expect_eq "holder once $name is back" "$(holder)" "$before"
    figure "back_after_power_cut_ms.$name" "$WAITED"
  done
fi

if part networkd; then
  step "systemd-networkd is restarted on the holder and on a real server."
  networkd() { on "$(holder)" systemctl restart systemd-networkd && on r1 systemctl restart systemd-networkd; }
  asked networkd networkd
  settle
fi

if part firewall; then
  step "A stateful firewall on every machine."
  cat >"$VM_WORK/firewall.nft" <<NFT
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iif lo accept
    meta l4proto { icmp, icmpv6 } accept
    tcp dport { 22, 80 } ct state new accept
    ip saddr $NETWORK.0/24 meta l4proto { tcp, udp } th dport { 7400, 7401 } accept
  }
}
NFT
  for name in $NODES; do copy_to "$name" "$VM_WORK/firewall.nft"; done
  firewall() {
    local name
    for name in $NODES; do on "$name" nft -f /var/tmp/firewall.nft || return 1; done
    sleep $((5 + SLOW))
  }
  asked firewall firewall
  expect_eq "failed behind a firewall" "$(value failed "$LINE")" 0
  settle
  for name in $NODES; do on "$name" nft delete table inet filter; done
fi

if part upgrade && [ -n "$VM_DEB_NEXT" ]; then
  step "The package is upgraded to another version, one machine after the other."
  upgrade_of() { on "$1" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "/var/tmp/$(basename "$VM_DEB_NEXT")" >"$VM_WORK/upgrade.$1" 2>&1 || { tail -n 20 "$VM_WORK/upgrade.$1" && return 1; }; }
  wanted=$(dpkg-deb -f "$VM_DEB_NEXT" Version)
  for name in r1 r2 "$(partner "$(holder)")" "$(holder)"; do
    copy_to "$name" "$VM_DEB_NEXT"
    asked "upgrade-$name" upgrade_of "$name"
    sed 's/^/    | /' "$VM_WORK/upgrade.$name" | grep -E 'lvs-agent|restart|wait|worker|guard' | head -n 20
    expect_eq "failed while $name was upgraded" "$(value failed "$LINE")" 0
    expect_eq "the version that runs on $name" "$(status "$name" .version)" "$wanted"
    settle
  done

  step "A version that speaks another protocol is refused, before anything stops."
  mkdir "$VM_WORK/other" && dpkg-deb -R "$VM_DEB_NEXT" "$VM_WORK/other"
  sed -i -e 's/"peers":[0-9]*/"peers":9999/' "$VM_WORK/other/DEBIAN/preinst" && sed -i 's/^Version: .*/&.other/' "$VM_WORK/other/DEBIAN/control"
  dpkg-deb --root-owner-group -b "$VM_WORK/other" "$VM_WORK/other.deb" >/dev/null
  copy_to r1 "$VM_WORK/other.deb"
  pid=$(on r1 systemctl show lvs-agent -p MainPID --value)
  refused "a package of another protocol" "cannot work together" on r1 env DEBIAN_FRONTEND=noninteractive apt-get install -y -q /var/tmp/other.deb
  expect_eq "the guard's process" "$(on r1 systemctl show lvs-agent -p MainPID --value)" "$pid"
  expect_eq "the installed version" "$(on r1 dpkg-query -W -f '${Version}' lvs-agent)" "$wanted"
fi

if part late; then
  step "r2 boots while nobody gives it an address."
  on r2 systemctl poweroff 2>/dev/null
  forget r2
  wait "${QEMU[r2]}" 2>/dev/null
  kill -STOP "$DNSMASQ"
  : >"$VM_WORK/r2.console"
  power_on r2
  # The prompt of the console is there once everything has been started that needs no network.
  POLL=1 wait_until $((90 * SLOW)) grep -q ' login:' "$VM_WORK/r2.console"
  expect "the others do not hear r2" hears_all d1 3
  kill -CONT "$DNSMASQ"
  up r2
  settle
  figure back_after_late_address_ms "$WAITED"
  expect "r2 said what it waited for" on r2 sh -c 'journalctl -q -b -u lvs-agent -o cat --no-pager | grep -q "waiting for this node.s address"'
  expect_eq "restarts of its service" "$(on r2 systemctl show lvs-agent -p NRestarts --value)" 0
fi

if part clock; then
  step "r2 boots with a clock of years ago, which is set right later."
  on r2 systemctl poweroff 2>/dev/null
  forget r2
  wait "${QEMU[r2]}" 2>/dev/null
  power_on r2 -rtc base=2020-01-01T00:00:00
  up r2
  on r2 date -s "@$(date +%s)" >/dev/null
  settle
  figure back_after_clock_step_ms "$WAITED"
fi

if part purge; then
  step "A real server leaves the cluster, and its package is purged, while the client asks."
  purge_of() { on "$1" lvs-agent leave >"$VM_WORK/purge.$1" 2>&1 && on "$1" apt-get purge -y -q lvs-agent >>"$VM_WORK/purge.$1" 2>&1; }
  asked "remove-r1" purge_of r1
  expect_eq "failed while r1 was taken out" "$(value failed "$LINE")" 0
  expect_eq "the VIP on lo of r1" "$(on r1 ip -o addr show dev lo | grep -c "$VIP")" 0
fi

step "Journals: no panic; what was warned of is in $VM_WORK."
for name in $NODES; do
  on "$name" journalctl -q -u lvs-agent -o cat --no-pager >"$VM_WORK/journal.$name" 2>/dev/null
  expect "no panic on $name" not grep -q 'panicked at' "$VM_WORK/journal.$name"
done
