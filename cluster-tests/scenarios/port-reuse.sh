#!/bin/bash
# A client whose source port was last used with a server that has been isolated, or has left, is answered at once by another server.
# lab: --both-kernels
. "$(dirname "$0")/lib.sh"

director=$(holder)
# ask PORT: one request from that port of the client; leaves server, milliseconds and curl's exit status.
ask() {
  local answer
  answer=$(on c curl -s --max-time 5 --local-port "$1" -w ' %{time_total}' "http://$VIP/")
  STATUS=$?
  read -r SERVER SECONDS_TAKEN <<<"$(tr '\n' ' ' <<<"$answer")"
  TOOK_MS=$(awk -v s="${SECONDS_TAKEN:-$SERVER}" 'BEGIN { printf "%d", s * 1000 }')
}
# entries SERVER: how many of the client's finished connections the director keeps for a server.
entries() { on "$director" ipvsadm -Lnc | awk -v to="$(address "$1"):80" '$NF == to' | wc -l; }

# ports_of SERVER FIRST: asks from ports on until three answers came from the server; leaves these ports in $PORTS.
ports_of() {
  local port
  PORTS=()
  for ((port = $2; port < $2 + 30 && ${#PORTS[@]} < 3; port++)); do
    ask $port
    if [ "$STATUS" = 0 ] && [ "$SERVER" = "$1" ]; then PORTS+=("$port"); fi
  done
  [ ${#PORTS[@]} = 3 ] || give_up "$1 answered only ${#PORTS[@]} of 30 requests"
}
# reuse WHAT SERVER: asks again from $PORTS.
reuse() {
  local port slowest=0 failed=0 same=0
  for port in "${PORTS[@]}"; do
    ask "$port"
    [ "$STATUS" = 0 ] || failed=$((failed + 1))
    if [ "$SERVER" = "$2" ]; then same=$((same + 1)); fi
    if [ "$TOOK_MS" -gt $slowest ]; then slowest=$TOOK_MS; fi
  done
  expect_eq "$1_failed" $failed 0
  expect_le "$1_slowest_ms" $slowest 100
  expect_eq "answers of $2 then" $same 0
}

expect_eq "the IPVS settings of $director" "$(on "$director" sysctl -n net.ipv4.vs.{expire_nodest_conn,conn_reuse_mode} | tr '\n' ' ')" "1 3 "

ports_of r1 40000
expect_ge entries_of_r1 "$(entries r1)" 3
cut "$director" r1
expect "$director sends nothing to r1" wait_until 5 not sends_to "$director" r1
reuse after_isolation r1
# The kernel ends them in a work item of its own.
none_of_r1() { [ "$(entries r1)" = 0 ]; }
expect "no entries of r1 are left" wait_until 5 none_of_r1
heal
expect "$director sends to r1 again" wait_until 10 sends_to "$director" r1

ports_of r3 41000
expect "r3 leaves" on r3 lvs-agent leave
expect "$director sends nothing to r3" wait_until 5 not sends_to "$director" r3
reuse after_leave r3

on "$director" sysctl -qw net.ipv4.vs.expire_nodest_conn=0 net.ipv4.vs.conn_reuse_mode=1
tuned() { [ "$(on "$director" sysctl -n net.ipv4.vs.{expire_nodest_conn,conn_reuse_mode} | tr '\n' ' ')" = "1 3 " ]; }
expect "settings changed by hand are put back" wait_until 3 tuned
expect_le settings_back_ms "$WAITED" 1000
expect "$director leaves" on "$director" lvs-agent leave
expect_eq "the IPVS settings of $director, which has left" "$(on "$director" sysctl -n net.ipv4.vs.{expire_nodest_conn,conn_reuse_mode} | tr '\n' ' ')" "0 1 "
