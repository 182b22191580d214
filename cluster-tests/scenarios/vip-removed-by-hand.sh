#!/bin/bash
# A VIP that is removed from its holder by hand is back within 100 ms, announced, and told as drift; it does not move, and no request fails.
# lab: --both-kernels
. "$(dirname "$0")/lib.sh"

expect "the cluster serves at first" wait_until 20 serves
director=$(holder)
start arp on c timeout 60 tcpdump -lnni eth0 "arp and arp[14:4] = 0x0a000064 and arp[24:4] = 0x0a000064"
start probe on c probe http "http://$VIP/" --every 5 --for 20
start watch watch-holders --every 2 --no-arp --for 20 --log "$SCRATCH/holders"
sleep 4
announced() { grep -c "$VIP" "$SCRATCH/arp"; }
since() { tail -n +$((MARK[$LVS_LAB_LOG/$1.agent.log] + 1)) "$LVS_LAB_LOG/$1.agent.log" | grep -cE -- "$2"; }
mark
before=$(announced)
for ((n = 1; n <= 5; n++)); do
  on "$director" ip addr del "$VIP/32" dev eth0 || give_up "the vip stays"
  sleep 0.5
done
expect "the vip is there" holds "$director"
expect_ge announcements $(($(announced) - before)) 10
expect_eq "lines that log it as drift" "$(since "$director" "somebody else removed the vip, put back.* places=\"?$VIP on eth0\"? drifted=true")" 5
expect "probe and watch went on until here" end probe watch
join_line watch
expect_le holders_max "$(value holders_max "$LINE")" 1
gap=$(awk '{ if (since != "" && $1 - since > most) most = $1 - since; since = $2 == "-" ? $1 : "" } END { printf "%d\n", most }' "$SCRATCH/holders")
expect_le gap_ms "$gap" 100
join_line probe
expect_le outage_ms "$(value outage_ms "$LINE")" 100
expect_eq failed "$(value failed "$LINE")" 0
# Somebody who does it all the time: the vip is gone for most of it, and nobody else takes it.
begun=0 now=0
now_ms begun now
for ((n = 0; n < 50; n++)); do
  on "$director" ip addr del "$VIP/32" dev eth0 2>/dev/null
  sleep 0.01
done
now_ms now
sleep 0.2
times=$(($(since "$director" "somebody else removed the vip, put back") - 5))
expect_le put_back_per_s $((times * 1000 / (now - begun))) 25
expect_ge put_back_per_s $((times * 1000 / (now - begun))) 10
expect "the vip is there after all of that" holds "$director"
expect_eq "lines of a VIP that moves" "$(since d1 'vip (taken|let go)') $(since d2 'vip (taken|let go)')" "0 0"
kill "${PIDS[arp]}"
expect "no panic" no_panic
