#!/bin/bash
# The Raft log truncated or overwritten on one node: it refuses to start, naming the file, or rejoins clean; others go on.
. "$(dirname "$0")/lib.sh"

log=/var/lib/lvs-agent/raft.redb
back() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = 5 ]; }
decided() { back "$1" || grep -qs $log "$LVS_LAB_LOG/$1.agent.log"; }
start probe on c probe http "http://$VIP/" --every 10 --for 20
start watch watch-holders --for 20
for damage in truncated overwritten; do
  node=$(if [ $damage = truncated ]; then echo r1; else other "$(holder)"; fi)
  on "$node" test -s $log || give_up "$node has no $log"
  stop-agent "$node"
  size=$(on "$node" stat -c %s $log)
  case $damage in
  truncated) on "$node" truncate -s $((size / 2)) $log ;;
  overwritten) on "$node" dd if=/dev/urandom of=$log bs=4096 count=$((size / 4096)) conv=notrunc status=none ;;
  esac
  : >"$LVS_LAB_LOG/$node.agent.log"
  start-agent "$node"
  wait_until 10 decided "$node"
  if back "$node"; then
    figure "$damage" "rejoined_after_${WAITED}_ms"
    verdict yes "$node rejoins with a log that was $damage"
  else
    figure "$damage" refused
    expect "$node names the file it refuses" grep -q $log "$LVS_LAB_LOG/$node.agent.log"
    agent-pids "$node" >/dev/null && stop-agent "$node" --signal KILL
    # What the error says.
    on "$node" sh -c "mkdir -p /var/lib/lvs-agent/away && mv $log /var/lib/lvs-agent/identity.json /var/lib/lvs-agent/away" || give_up "the files of $node stay"
    start-agent "$node"
    seed=$(if [ "$node" = d1 ]; then echo d2; else echo d1; fi)
    expect "$node joins anew, without a token" wait_until 10 on "$node" lvs-agent join "$(address $seed)"
    expect "$node is back without its log" wait_until 20 back "$node"
  fi
done
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
join_line watch
expect_eq holders_max "$(value holders_max "$LINE")" 1
