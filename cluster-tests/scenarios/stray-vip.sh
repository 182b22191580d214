#!/bin/bash
# A VIP that somebody has put on the standby director, or on a server's eth0, is found, told and taken off at once; who does it again and again is not fought at full speed.
# lab: --both-kernels
. "$(dirname "$0")/lib.sh"

expect "the cluster serves at first" wait_until 20 serves
director=$(holder) standby=$(other "$(holder)")
on_eth0() { on "$1" ip -o addr show dev eth0 | grep -q " $VIP/"; }
problem() { status "$1" '.problems[]' | grep -qE "$2"; }
# The holder's MAC is the one that answers, and every server gets requests.
right_mac() {
  on c ip neigh flush dev eth0
  start probe on c probe http "http://$VIP/" --every 20 --for 1
  join_line probe
  expect_eq "$1: failed requests" "$(value failed "$LINE")" 0
  for server in r1 r2 r3; do expect_ge "$1_requests_$server" "$(requests $server "$LINE")" 5; done
  expect_eq "$1: who answers for the vip" "$(on c ip neigh show "$VIP" | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')" \
    "$(on "$director" cat /sys/class/net/eth0/address)"
}
# longest FILE HOST: for how long at one go a watch saw that host with the vip, in milliseconds.
longest() { awk -v host="$2" '{ if (since != "") { if ($1 - since > most) most = $1 - since } since = $2 ~ host ? $1 : "" } END { if (since != "") most = 999999; printf "%d\n", most }' "$1"; }

# put NAME HOST PREFIX: by hand.
put() {
  mark
  start watch watch-holders --hosts "$director,$2" --every 2 --no-arp --for 1 --log "$SCRATCH/$1.log"
  sleep 0.2
  on "$2" ip addr add "$VIP/$3" dev eth0 || give_up "$2 does not take the vip"
  join_line watch
  expect_le "$1_found_ms" "$(longest "$SCRATCH/$1.log" "$2")" 100
  expect "$1: the vip is off" not on_eth0 "$2"
  expect "$1: the log says so" logged "somebody else has put the vip on an interface of this node, taken off.* interface=\"?eth0\"?" "$2"
  expect "$1: status of $2 says so" wait_until 3 problem "$2" "somebody else has put $VIP of VIP group web on eth0 of this node, which does not hold it: taken off"
  right_mac "$1"
}
put standby "$standby" 32
put standby_with_subnet "$standby" 24
put server r1 32
put server_with_subnet r1 24
expect "r1 keeps the vip on lo" vip_on_lo r1
expect "$director holds the vip" holds "$director"
expect_eq "problems of $director" "$(status "$director" '.problems | join("; ")')" ""

# At start: the vip is there with a subnet of its own, in which the server's own address came second.
stop-agent r3
on r3 sh -c "ip addr flush dev eth0 && ip addr add $VIP/24 dev eth0 && ip addr add $(address r3)/24 dev eth0"
expect "r3 has the vip while no agent runs there" on_eth0 r3
mark
start-agent r3
expect "it is taken off when the agent starts" wait_until 10 not on_eth0 r3
expect "r3 keeps its own address" on r3 sh -c "ip -o addr show dev eth0 | grep -q ' $(address r3)/24 '"
expect "the log says so" logged "somebody else has put the vip on an interface of this node, taken off" r3
expect "the cluster serves again" wait_until 20 serves
right_mac at_start

# Something that puts it back whenever it is gone.
mark
(
  until [ -e "$SCRATCH/enough" ]; do
    on_eth0 r2 || on r2 ip addr add "$VIP/32" dev eth0
    sleep 0.1
  done
) &
contest=$!
sleep 4
expect "status says that it comes again and again" wait_until 2 problem r2 "something else on this machine puts $VIP of VIP group web on eth0 again and again"
times=$(tail -n +$((MARK[$LVS_LAB_LOG/r2.agent.log] + 1)) "$LVS_LAB_LOG/r2.agent.log" | grep -c "the vip on an interface.*taken off")
expect_ge removals_in_4_s "$times" 6
expect_le removals_in_4_s "$times" 10
expect "so does the log" logged "something else on this machine puts the vip on an interface again and again" r2
touch "$SCRATCH/enough"
wait $contest
POLL=0.25 expect "the last one is taken off, too" wait_until 20 not on_eth0 r2
expect "no panic" no_panic
