# Sourced by scenarios whose client is in another subnet: namespaces gw (10.0.0.1, on the switch as a host is) and far (192.0.2.2) behind it. What counts
# then is what the router's ARP table says of the VIP.
# shellcheck shell=bash

router_begins() {
  ip netns add gw && ip netns add far || give_up "no namespaces for router and client"
  ip link add gw-0 index 900 type veth peer name eth0 address 02:00:0a:00:00:01 netns gw
  ip link set gw-0 master br0 up
  ip -n gw link add eth1 type veth peer name eth0 netns far
  ip -n gw addr add 10.0.0.1/24 dev eth0 && ip -n gw addr add 192.0.2.1/24 dev eth1 && ip -n far addr add 192.0.2.2/24 dev eth0
  local link
  for link in "gw lo" "gw eth0" "gw eth1" "far lo" "far eth0"; do ip -n "${link% *}" link set "${link#* }" up; done
  ip -n far route add default via 192.0.2.1
  ip netns exec gw sysctl -qw net.ipv4.ip_forward=1
  routes_to_router
}
# Real servers answer the client themselves; a host that has had no power has to be told again.
routes_to_router() {
  local host
  for host in d1 d2 r1 r2 r3; do on $host ip route replace 192.0.2.0/24 via 10.0.0.1; done
}
# The router sends to the director that holds the VIP.
router_knows() { ip -n gw neigh show "$VIP" dev eth0 | grep -qF "$(on "$(holder)" cat /sys/class/net/eth0/address)"; }
