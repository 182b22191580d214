#!/bin/bash
# A VIP on an interface of its own leaves a director whose link is dead, set down there or cut at the switch, and comes to none whose link is down.
. "$(dirname "$0")/lib.sh"

# A second LAN for directors and client. Servers answer the client by the first one.
SECOND=10.0.1.100
ip link add br1 type bridge stp_state 0 forward_delay 0 mcast_snooping 0 && ip link set br1 up
for host in c d1 d2; do
  ip link add "$host-1" type veth peer name eth1 netns "$host" && ip link set "$host-1" master br1 up
  ip -n "$host" link set eth1 up && ip -n "$host" addr add "10.0.1.$(address $host | sed "s/.*[.]//")/24" dev eth1
done
for server in r1 r2 r3; do ip -n $server route add 10.0.1.10 via 10.0.0.10; done
{
  cat "$LVS_LAB_CLUSTER"
  printf '[[vip]]\nname = "web2"\naddresses = ["%s"]\ninterface = "eth1"\n' $SECOND
  printf '[[service]]\nname = "web2"\nvip = "web2"\nprotocol = "tcp"\nport = 80\nscheduler = "rr"\nforward = "dr"\n'
  for n in 1 2 3; do printf '[[service.server]]\nname = "r%d"\naddress = "10.0.0.2%d"\n' $n $n; done
} >"$SCRATCH/two.toml"
said on d1 lvs-agent apply "$SCRATCH/two.toml" || give_up "no second vip network"
second_held() { [ "$(holder $SECOND | wc -l)" = 1 ]; }
second_by() { [ "$(holder $SECOND)" = "$1" ]; }
answers_to_client() { on c curl -sf -m 0.3 -o /dev/null "http://$SECOND/"; }
serves_second() { second_held && answers_to_client && answers_to_client && answers_to_client; }
expect "the second vip serves" wait_until 20 serves_second
problem() { status "$1" '.problems[]' | grep -qE "$2"; }
could() { status "$1" '.vips[] | select(.name == "web2") | .could_hold | join(" ")' | grep -qw "$2"; }
probing() { start probe on c probe http "http://$SECOND/" --every 5 --for "$1"; }
holder_of_first=$(holder)

# lost NAME WORDS COMMAND…: the holder's link is lost; the other director takes over, and the first is a candidate again once the link is back.
lost() {
  local name=$1 words=$2 first second
  first=$(holder $SECOND) second=$(other "$(holder $SECOND)")
  # The long way: the other one could take it.
  expect "$second could take the second vip" wait_until 10 could "$first" "$second"
  mark
  probing 4
  sleep 0.5
  "${@:3}" down "$first"
  sleep 1.5
  expect "$name: the second vip is on $second alone" second_by "$second"
  expect "$name: $first says why in its log" logged "vip let go.*its interface cannot carry it" "$first"
  expect "$name: and in status" problem "$first" "interface eth1 of this node $words: VIP group web2 is left to other directors"
  expect "$name: $second knows that $first could not take it" wait_until 3 not could "$second" "$first"
  join_line probe
  expect_le "${name}_outage_ms" "$(value outage_ms "$LINE")" 330
  probing 4
  "${@:3}" up "$first"
  sleep 0.5
  expect "$name: a link that has just come back is waited for" problem "$first" "interface eth1 of this node has been up for less than a second"
  expect "$name: $first says nothing of its interface once it is steady" wait_until 3 not problem "$first" "interface eth1"
  join_line probe
  expect_eq "${name}_failed_on_return" "$(value failed "$LINE")" 0
  expect "$name: the second vip stays on $second" second_by "$second"
}
set_here() { ip -n "$2" link set eth1 "$1"; }
set_at_switch() { ip link set "$2-1" "$1"; }
lost set_down "is set down" set_here
lost no_carrier "has no carrier" set_at_switch
expect_eq "holder of the first vip all the time" "$(holder)" "$holder_of_first"

# Nobody takes the vip on a dead link, even if there is no other director.
first=$(holder $SECOND) second=$(other "$(holder $SECOND)")
set_at_switch down "$second"
expect "$second says that its link is down" wait_until 3 problem "$second" "interface eth1 of this node has no carrier"
stop-agent "$first"
sleep 2
expect_eq "holders while the only link is dead" "$(holder $SECOND)" ""
expect "status says why nobody holds it" problem "$second" "no node holds VIP group web2: .*$second: its interface eth1 has no carrier"
set_at_switch up "$second"
expect "$second takes the second vip when its link is back" wait_until 5 second_by "$second"
expect_ge "taken_after_link_ms" "$WAITED" 900
expect "no panic" no_panic
