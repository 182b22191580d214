#!/bin/bash
# withdraw takes a node out of service under traffic, and puts its kernel back: a real server, the VIP's holder; after a restart they serve again. A crashed agent's work is cleaned up, too.
# lab: --cluster none --both-kernels
. "$(dirname "$0")/lib.sh"

sysctls() { on "$1" sysctl net.ipv4.conf.{all,lo}.{arp_ignore,arp_announce} net.ipv4.vs.{expire_nodest_conn,conn_reuse_mode} 2>/dev/null | tr '\n' ' '; }
services() { on "$1" ipvsadm -Sn; }
no_services() { [ -z "$(services "$1")" ]; }
# is_withdrawn HOST AT: the agent of AT says so.
is_withdrawn() { [ "$(status "$2" ".nodes[] | select(.name == \"$1\") | .withdrawn")" = true ]; }
says_how() { status "$1" '.problems[]' | grep -q '^withdrawn: `systemctl restart lvs-agent`'; }
back() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = 5 ] && [ "$(status "$1" .cluster.quorum)" = true ]; }
restart() { stop-agent "$1" && start-agent "$1" && wait_until 10 back "$1"; }

on d1 sysctl -qw net.ipv4.vs.conn_reuse_mode=0
on r3 sysctl -qw net.ipv4.conf.lo.arp_announce=1
declare -A BEFORE
for host in d1 d2 r1 r3; do BEFORE[$host]=$(sysctls $host); done
start-agent r3
expect "before there is a cluster" wait_until 10 answers r3
expect "a node in no cluster has nothing to withdraw" said on r3 lvs-agent withdraw
expect "it says so" grep -q 'nothing to withdraw: this node is in no cluster' "$SCRATCH/said"
stop-agent r3
form-cluster "$(dirname "$0")/../cluster.toml" || give_up "no cluster"
expect "the VIP is on lo of r3" vip_on_lo r3

start probe on c probe http "http://$VIP/" --every 10 --for 60 --log "$LVS_LAB_LOG/probe.log"
start watch watch-holders --every 20 --arp-every 500 --for 60
sleep 1
expect "r3 is withdrawn" said on r3 lvs-agent withdraw
expect "the VIP is off lo of r3" not vip_on_lo r3
expect_eq "r3's sysctls" "$(sysctls r3)" "${BEFORE[r3]}"
expect "no director sends to r3" not both sends_to r3
expect "d1 knows it as withdrawn" is_withdrawn r3 d1
expect "r3 says how it comes back" says_how r3
expect_eq "r3 is heard" "$(unheard d1)" ""
expect "once more changes nothing" said on r3 lvs-agent withdraw --json
expect_eq changes "$(jq .changes "$SCRATCH/said")" 0

director=$(holder)
figure holder "$director"
voters=$(status r1 '.cluster.voters | join(" ")')
expect "the holder is withdrawn" said on "$director" lvs-agent withdraw
expect "the other director holds the VIP" holds "$(other "$director")"
expect "its table is empty" no_services "$director"
expect_eq "its sysctls" "$(sysctls "$director")" "${BEFORE[$director]}"
expect_eq "who votes" "$(status r1 '.cluster.voters | join(" ")')" "$voters"
expect "r1 knows it as withdrawn" is_withdrawn "$director" r1
# A worker that crashes does not put it back in service.
kill -9 "$(agent-pids "$director" | sed -n 's/^worker //p')"
expect "another worker answers" wait_until 10 says_how "$director"
expect "and is a member" wait_until 10 back "$director"
sleep 2
expect "it is withdrawn still" is_withdrawn "$director" r1
expect "its table is still empty" no_services "$director"
expect "the other director holds the VIP still" holds "$(other "$director")"

for host in r3 "$director"; do expect "$host is back" restart "$host"; done
expect "both serve again" wait_until 15 serves
expect "the VIP is on lo of r3 again" vip_on_lo r3
expect "nobody is withdrawn" not is_withdrawn r3 d1
undisturbed_but_once() {
  end probe watch || return 1
  join_line probe
  expect_eq failed "$(value failed "$LINE")" 0
  grep -v " ok" "$LVS_LAB_LOG/probe.log" | head -n 10
  join_line watch
  expect_eq changes_of_holder "$(value changes "$LINE")" 1
  expect_eq holders_max "$(value holders_max "$LINE")" 1
}
expect "requests and watch went on until here" undisturbed_but_once

# No quorum: it can be withdrawn all the same.
stop-agent d1 && stop-agent d2 && stop-agent r3
no_quorum() { [ "$(status r1 .cluster.quorum)" = false ]; }
expect "there is no quorum" wait_until 20 no_quorum
expect "r1 is withdrawn without a quorum" said on r1 lvs-agent withdraw
expect "the VIP is off lo of r1" not vip_on_lo r1
expect_eq "r1's sysctls" "$(sysctls r1)" "${BEFORE[r1]}"

# Agents that have crashed, or were stopped, cannot be asked: the command does it.
expect "the VIP is on lo of r3, whose agent is stopped" vip_on_lo r3
expect "r3 is cleaned up" said on r3 lvs-agent withdraw --json
expect_eq "an agent runs on r3" "$(jq .agent_runs "$SCRATCH/said")" false
expect "the VIP is off lo of r3" not vip_on_lo r3
expect_eq "r3's sysctls" "$(sysctls r3)" "${BEFORE[r3]}"
start-agent d1 d2 r3
expect "there is a quorum again" wait_until 20 back d2
holder_there() { held; }
expect "somebody holds the VIP" wait_until 10 holder_there
director=$(holder)
# The address of a guard that is dead stays for a second at the most: the command is there before.
agent-pids "$director" | sed 's/.* //' | xargs kill -9
expect "the crashed holder is cleaned up" said on "$director" lvs-agent withdraw
expect "its VIP is gone" not holds "$director"
expect "its table is empty" no_services "$director"
expect_eq "its sysctls" "$(sysctls "$director")" "${BEFORE[$director]}"
expect "once more there is nothing to do" said on "$director" lvs-agent withdraw
expect "it says so" grep -q 'nothing to withdraw' "$SCRATCH/said"
start-agent "$director"
expect "it serves again" wait_until 20 both sends_to r3
