#!/bin/bash
# Where no packet is longer than 1280 bytes and fragments are dropped, a rebooted director knows all of 301 services before it holds the VIP.
# lab: --cluster none --timeout 600 -- 301 services are programmed, checked and gossiped by five agents
. "$(dirname "$0")/lib.sh"

SERVICES=300
{
  cat "$LVS_LAB_CLUSTER"
  for ((i = 0; i < SERVICES; i++)); do
    printf '[[service]]\nname = "tcp-%d"\nvip = "web"\nprotocol = "tcp"\nport = %d\n' "$i" $((2000 + i))
    printf '[service.check]\ntype = "tcp"\nport = 7\ninterval = "10s"\ntimeout = "500ms"\nfall = 2\nrise = 1\n'
    for r in r1 r2 r3; do printf '[[service.server]]\nname = "%s"\naddress = "%s"\n' "$r" "$(address "$r")"; done
  done
} >"$SCRATCH/many.toml"

# narrow HOST: nothing longer leaves it, and the switch drops what it sends in fragments.
narrow() {
  on "$1" ip link set eth0 mtu 1280
  # The switch's port has a clsact queue from the start.
  tc filter add dev "$1-0" ingress protocol ip flower ip_flags frag action drop
}
for host in c d1 d2 r1 r2 r3; do narrow $host || give_up "$host cannot be made narrow"; done
# How many servers, of all services, a director's kernel sends to.
servers() { on "$1" ipvsadm -Ln | awk '$1 == "->" && $2 ~ /^10/ && $4 > 0' | wc -l; }
knows_all() { [ "$(servers "$1")" = $(((SERVICES + 1) * 3)) ]; }

form-cluster "$SCRATCH/many.toml" || give_up "no cluster: d1 sends to $(servers d1) servers, d2 to $(servers d2)"
expect "both directors send to every server of every service" wait_until 60 both knows_all
figure knows_all_ms "$WAITED"

director=$(holder)
partner=$(other "$director")
power-off "$director"
expect "$partner holds the VIP" wait_until 10 holds "$partner"
start capture capture "$SCRATCH/lan.pcap" --for 60
power-on "$director" && narrow "$director"
expect "$director, rebooted, sends to every server of every service" wait_until 40 knows_all "$director"
figure knows_all_again_ms "$WAITED"

# Now it takes the VIP: its partner loses power.
start probe on c probe http "http://$VIP/" --every 50 --for 10 --log "$LVS_LAB_LOG/probe.log"
sleep 2
power-off "$partner"
expect "$director holds the VIP" wait_until 10 holds "$director"
join_line probe
expect_le outage_ms "$(value outage_ms "$LINE")" 1500
start after on c probe http "http://$VIP/" --every 50 --for 5
join_line after
expect_eq failed_once_it_holds "$(value failed "$LINE")" 0

join_line capture
count() { tcpdump -nr "$SCRATCH/lan.pcap" "$1" 2>/dev/null | wc -l; }
expect_eq fragments "$(count 'ip[6:2] & 0x3fff != 0')" 0
expect_eq long_datagrams "$(count 'udp and greater 1295')" 0
expect_ge datagrams "$(count 'udp port 7400')" 100
expect_eq datagrams_without_dont_fragment "$(count '(udp port 7400 or udp port 7401) and ip[6:2] & 0x4000 == 0')" 0
expect no_panic no_panic
