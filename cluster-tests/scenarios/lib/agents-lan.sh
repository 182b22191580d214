# Sourced after lib.sh by scenarios in which agents hear each other over a LAN of their own (eth1, 10.0.1.x), while clients, VIP and servers are on eth0. The lab
# is brought up with --cluster none --real-servers 6: r1 to r3 are witnesses, which vote, r4 to r6 serve without an agent.
# shellcheck shell=bash

agents_address() { echo "10.0.1.$(address "$1" | sed 's/.*[.]//')"; }
# The port of a host at the agents' switch: open or shut. The cable stays as it is, so that nobody is told.
port() { bridge link set dev "$2-1" state "$([ "$1" = shut ] && echo 0 || echo 3)"; }
agents_cut() { local host && for host in "$@"; do port shut "$host"; done; }
agents_heal() { local host && for host in d1 d2 r1 r2 r3; do port open $host; done; }

agents_lan() {
  local host
  ip link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 && ip link set br1 up
  for host in d1 d2 r1 r2 r3; do
    ip link add "$host-1" type veth peer name eth1 netns "$host" && ip link set "$host-1" master br1 up
    ip -n "$host" link set eth1 up && ip -n "$host" addr add "$(agents_address "$host")/24" dev eth1
    on "$host" sed -i "s/^address = .*/address = \"$(agents_address "$host")\"/" /etc/lvs-agent/agent.toml
  done
  for host in r1 r2 r3; do has_roles $host witness; done
  for host in r4 r5 r6; do
    ip -n $host addr add "$VIP/32" dev lo
    on $host sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  done
  start-agent d1 d2 r1 r2 r3
  for host in d1 d2 r1 r2 r3; do wait_until 10 answers $host || return 1; done
  said on d1 lvs-agent init || return 1
  for host in d2 r1 r2 r3; do said on $host lvs-agent join "$(agents_address d1)" --token "$(token d1 --roles director,witness)" || return 1; done
  {
    printf '[[vip]]\nname = "web"\naddresses = ["%s"]\ninterface = "eth0"\n' "$VIP"
    printf '[[service]]\nname = "web"\nvip = "web"\nport = 80\nscheduler = "rr"\n  [service.check]\n  type = "tcp"\n  interval = "200ms"\n'
    for host in r4 r5 r6; do printf '  [[service.server]]\n  name = "%s"\n  address = "%s"\n  agentless = true\n' $host "$(address $host)"; done
  } >"$SCRATCH/agents-lan.toml"
  said on d1 lvs-agent apply "$SCRATCH/agents-lan.toml" || return 1
  wait_until 30 held && wait_until 30 both sends_to r4 && wait_until 30 five_vote && wait_until 10 three_answers
}
three_answers() { local n && for n in 1 2 3; do on c curl -sf -m 0.5 -o /dev/null "http://$VIP/" || return 1; done; }
five_vote() { [ "$(status d1 '.cluster.voters | sort | join(" ")')" = "d1 d2 r1 r2 r3" ]; }

mode_is() { [ "$(status "$1" '.vips[0].mode')" = "$2" ]; }
# watching SECONDS: requests every 5 ms; both directors' kernels, and who answers ARP, every 2 ms.
watching() {
  start probe on c probe http "http://$VIP/" --every 5 --for "$1" --timeout 200
  start watch watch-holders --every 2 --arp-every 2 --for "$1" --log "$LVS_LAB_LOG/watch.log"
}

# without_agents_network NAME PHASE HOST…: after a second and PHASE ms, so that renewals are met at other points, the ports of these hosts at the agents' switch are shut for a while: the VIP is served within 1.5 s by one director, and there
# is one MAC at every sample, then and when they are open again; nothing moves then.
without_agents_network() {
  local name=$1 phase=$2 first second && shift 2
  first=$(holder)
  mark
  watching 6
  sleep "1.$(printf %03d "$phase")"
  agents_cut "$@"
  join_line watch
  expect_le "unheld_ms_$name" "$(value unheld_ms "$LINE")" 1500
  expect_eq "arp_macs_max_$name" "$(value arp_macs_max "$LINE")" 1
  expect_eq "holders_max_$name" "$(value holders_max "$LINE")" 1
  join_line probe
  expect_le "outage_ms_$name" "$(value outage_ms "$LINE")" 1500
  figure "failed_requests_$name" "$(value failed "$LINE")"
  second=$(holder)
  figure "moved_$name" "$([ "$first" = "$second" ] && echo 0 || echo 1)"
  expect "$name: one director holds the vip" held
  expect "$name: $second says that it does so by fallback" mode_is "$second" fallback
  expect "$name: so does its log" logged "vip taken by fallback" "$second"
  watching 8
  sleep "1.$(printf %03d $((phase * 3)))"
  agents_heal
  join_line watch
  expect_eq "arp_macs_max_${name}_healed" "$(value arp_macs_max "$LINE")" 1
  expect_eq "changes_${name}_healed" "$(value changes "$LINE")" 0
  join_line probe
  expect_eq "failed_${name}_healed" "$(value failed "$LINE")" 0
  expect_eq "holder_${name}_healed" "$(holder)" "$second"
  expect "$name: it holds it by a lease again" wait_until 5 mode_is "$second" lease
}
