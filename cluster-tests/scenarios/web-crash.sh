#!/bin/bash
# The web server on r1 crashes: isolated on both directors within 2 s, connections to others untouched, back after recovery.
# lab: --both-kernels
. "$(dirname "$0")/lib.sh"

director=$(holder)
for n in 1 2 3 4 5 6; do start "echo$n" on c probe tcp "$VIP:80" --every 20 --for 12; done
sleep 1
on_r1=$(on "$director" ipvsadm -Lnc | awk '/ESTABLISHED/ && $NF == "10.0.0.21:80"' | wc -l)
figure echo_connections_on_r1 "$on_r1"

start probe on c probe http "http://$VIP/" --every 10 --for 8
now_ms crash
crash-web r1
expect "both directors isolate r1" wait-pool r1 d1 d2 --out --within 5
now_ms now
expect_le isolation_ms $((now - crash)) 2000
on d1 lvs-agent status
sleep 1
start after on c probe http "http://$VIP/" --every 10 --for 2
join_line after
expect_eq failed_once_isolated "$(value failed "$LINE")" 0
join_line probe
figure failed_requests "$(value failed "$LINE")"

now_ms recovery
start-web r1
expect "r1 is back on both directors" wait_until 10 both sends_to r1
now_ms now
figure recovery_ms $((now - recovery))
start after on c probe http "http://$VIP/" --every 10 --for 2
join_line after
expect_eq failed_after_recovery "$(value failed "$LINE")" 0
expect_ge requests_of_r1_after_recovery "$(requests r1 "$LINE")" 1

reset=0
for n in 1 2 3 4 5 6; do
  join_line "echo$n"
  if [ "$(value end "$LINE")" = reset ]; then reset=$((reset + 1)); else expect_le "stall_ms.echo$n" "$(value stall_ms "$LINE")" 50; fi
done
expect_eq reset_connections "$reset" "$on_r1"
