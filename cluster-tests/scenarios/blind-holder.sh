#!/bin/bash
# A holder that alone reaches none of its servers, or one of three: it keeps them in, and hands the VIP over to a director that reaches them.
# lab:
. "$(dirname "$0")/lib.sh"

# From the host to real servers nothing passes to the port that is served: neither what it forwards nor its checks. The agents still hear each other.
blind() { # HOST SERVER…
  local host=$1 server && shift
  on "$host" tc qdisc replace dev eth0 clsact
  for server in "$@"; do
    on "$host" tc filter add dev eth0 egress protocol ip pref "${server#r}" flower dst_mac "$(on "$server" cat /sys/class/net/eth0/address)" ip_proto tcp dst_port 80 action drop
  done
}
sees_again() { on "$1" tc qdisc del dev eth0 clsact; }
less_fit() { status "$1" '[.vips[0].less_fit[] | "\(.node) \(.fitness) \(.why)"] | join("; ")'; }
fitness_is() { [ "$(less_fit "$1")" = "$2" ]; }
nobody_is_up() { [ "$(status "$1" 'any(.services[0].servers[]; .verdict == "up")')" = false ]; }

# What a check costs to find out is its interval and fall; what comes after that is measured here.
sed 's/interval = "1s"/interval = "200ms"/; s/timeout = "500ms"/timeout = "100ms"/' "$LVS_LAB_CLUSTER" >"$SCRATCH/cluster.toml"
said on d1 lvs-agent apply "$SCRATCH/cluster.toml" || give_up "the interval stays"

first=$(holder)
second=$(other "$first")
mark
start watch watch-holders --for 120
start probe on c probe http "http://$VIP/" --every 10 --for 12 --log "$LVS_LAB_LOG/probe.log"
sleep 1
blind "$first" r1 r2 r3
expect "the VIP moves to $second" wait_until 5 holds "$second"
expect_le moved_ms "$WAITED" 1000
start after on c probe http "http://$VIP/" --every 10 --for 3
expect "$first is told to be less fit" wait_until 5 fitness_is "$first" "$first 1 reaches 0 of 3 servers of http"
expect "$second says the same of it" wait_until 2 fitness_is "$second" "$first 1 reaches 0 of 3 servers of http"
expect "the guard of $first was told" logged '"?fitness to hold a vip changed' "$first"
expect "$first still sends to every server" sends_to_all "$first"
expect "$second sends to every server" sends_to_all "$second"
expect_eq "verdicts" "$(status "$second" '[.services[0].servers[].verdict] | join(" ")')" "up up up"
said on "$first" lvs-agent status
expect "its status says so" grep -q "$first is less fit to hold it (1 of 1000): reaches 0 of 3 servers of http" "$SCRATCH/said"
join_line probe
figure failed_requests "$(value failed "$LINE")"
figure outage_ms "$(value outage_ms "$LINE")"
join_line after
expect_eq failed_afterwards "$(value failed "$LINE")" 0

sees_again "$first"
expect "$first is fit again" wait_until 20 fitness_is "$second" ""
expect_ge fit_again_ms "$WAITED" 5000
expect "the VIP stays where it is" holds "$second"

# Two of three: this is most of the pool, too.
first=$(holder)
second=$(other "$first")
mark
blind "$first" r1 r2
expect "$first is less fit in proportion" wait_until 5 fitness_is "$second" "$first 333 reaches 1 of 3 servers of http"
expect "$first still sends to every server" sends_to_all "$first"
expect "the VIP moves to $second" wait_until 2 holds "$second"
sees_again "$first"
expect "$first is fit again" wait_until 20 fitness_is "$second" ""

# One of three is left out, and the VIP stays where it is.
first=$(holder)
second=$(other "$first")
blind "$first" r1
expect "$first sends nothing to r1" wait_until 5 not sends_to "$first" r1
expect_eq "less fit directors" "$(less_fit "$second")" ""
sees_again "$first"
expect "$first sends to every server again" wait_until 10 sends_to_all "$first"

# Servers that really fail all at once are nobody's fault: no director is less fit for it, and the VIP stays.
first=$(holder)
mark
for server in r1 r2 r3; do crash-web $server; done
expect "no verdict is up" wait_until 10 nobody_is_up "$first"
expect "the VIP is where it was" holds "$first"
expect "no director was less fit" not logged "fitness to hold a vip changed" d1 d2
end watch
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1
