#!/bin/bash
# restart replaces the worker of each node under traffic: no request fails, the VIP stays. Where systemd runs the agent, the guard follows and gives its VIP away. A node that cannot be spared is left as it is.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/systemd.sh"

process() { agent-pids "$2" | sed -n "s/^$1 //p"; }
ended=0
ends_with() { # STATUS WORDS CMD…
  ended=0
  said "${@:3}" || ended=$?
  [ $ended = "$1" ] && grep -qE -- "$2" "$SCRATCH/said"
}

expect "the cluster serves at first" wait_until 20 serves
director=$(holder)
traffic 120
sleep 1
for host in r1 r2 r3 "$(other "$director")" "$director"; do
  guard=$(process guard $host) worker=$(process worker $host)
  expect "the worker of $host is replaced" said on $host lvs-agent restart --json
  expect_eq "restarted on $host" "$(jq -r .restarted "$SCRATCH/said")" worker
  figure "worker_ms.$host" "$(jq '[.steps[] | select(.step | startswith("worker")) | .ms] | add' "$SCRATCH/said")"
  expect_eq "guard of $host" "$(process guard $host)" "$guard"
  expect "another worker runs on $host" not [ "$(process worker $host)" = "$worker" ]
done
expect "every server is in on both directors" both sends_to_all
sleep 3
undisturbed

# Nobody else could take the VIP: nothing is touched.
stop-agent "$(other "$director")"
expect "$director does not hear it any more" wait_until 10 not hears "$director" "$(other "$director")"
before=$(agent-pids "$director")
now_ms begun
expect "the holder is not restarted while the other director is down" \
  ends_with 4 "nothing is restarted: after 5 s this still waits for .*another director that can take VIP group web: $(other "$director") is not heard" \
  on "$director" lvs-agent restart --timeout 5
now_ms now
expect_le gave_up_after_ms $((now - begun)) 7000
expect_eq "processes of the holder" "$(agent-pids "$director")" "$before"
start-agent "$(other "$director")"
expect "it is restarted once that is back" said on "$director" lvs-agent restart
expect "the guard is said to be of before" grep -q '^worker replaced, it runs lvs-agent .*the guard still runs version' "$SCRATCH/said"
# No agent.
stop-agent r3
expect "without an agent it says so" ends_with 3 'cannot reach the agent' on r3 lvs-agent restart
start-agent r3

# As on a machine: systemd runs the agents of the holder and of a real server.
for host in "$director" r1; do
  expect "systemd runs on $host" boot "$host" lvs-agent.service
  expect "lvs-agent is active on $host" wait_until 30 active "$host"
  expect "it is in the cluster" wait_until 20 says "$host" ' of cluster '
done
expect "the cluster serves" wait_until 20 serves
if ! holds "$director"; then
  # It comes back to the node that this is about.
  expect "the other director is withdrawn" said on "$(other "$director")" lvs-agent withdraw
  expect "the VIP is on $director" wait_until 10 holds "$director"
  stop-agent "$(other "$director")" && start-agent "$(other "$director")"
  expect "the cluster serves again" wait_until 20 serves
fi
start probe on c probe http "http://$VIP/" --every 20 --for 60 --log "$LVS_LAB_LOG/probe2.log"
start watch watch-holders --every 20 --arp-every 500 --for 60
sleep 1
for host in r1 "$director"; do
  main=$(property $host MainPID)
  expect "the agent of $host is restarted" said inside $host /run/lvs/lvs-agent restart --json
  expect_eq "restarted on $host" "$(jq -r .restarted "$SCRATCH/said")" all
  figure "restart_ms.$host" "$(jq '[.steps[].ms] | add' "$SCRATCH/said")"
  expect "another guard runs on $host" not [ "$(property $host MainPID)" = "$main" ]
done
expect "the VIP is on the other director" holds "$(other "$director")"
expect "the cluster serves after that" wait_until 20 serves
sleep 3
expect "requests and watch went on until here" end probe watch
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
grep -v " ok" "$LVS_LAB_LOG/probe2.log" | head -n 5
join_line watch
expect_eq changes_of_holder "$(value changes "$LINE")" 1
expect_eq holders_max "$(value holders_max "$LINE")" 1
[ $BROKEN = 0 ] || tail -n 40 "$SCRATCH"/systemd.*.log
