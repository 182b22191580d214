#!/bin/bash
# Many VIP groups, in the long form 200, of four addresses each on three directors, one of which loses its power: when the first and the last of its addresses are announced, beside one group's.
# lab: --figures --cluster none --timeout 600 -- three directors renew the leases of 20 groups, thousands of datagrams a second
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/groups.sh"

# The director that has most addresses, or the one that has the only group.
busiest() { local host && for host in "${DIRECTORS[@]}"; do echo "$(held_by "$host" | wc -l) $host"; done | sort -n | tail -n 1 | sed 's/.* //'; }
# moved GROUPS N: that director loses its power; when each of its addresses was first announced by another one, in ms from then.
moved() {
  local victim others=() host begun
  POLL=0.25 wait_until 30 five_vote || give_up "not all five vote"
  victim=$(busiest)
  for host in "${DIRECTORS[@]}"; do [ "$host" = "$victim" ] || others+=("$host"); done
  held_by "$victim" >"$SCRATCH/lost"
  # d2 answers for the cluster above; a power cut takes what was not read yet.
  start arp sh -c 'exec tcpdump -i br0 -n -tt -l -B 8192 arp 2>/dev/null'
  sleep 0.2
  [ "$1" != 1 ] || beat "$victim"
  phase "$2" 75
  now_ms begun
  power-off "$victim"
  sleep 1
  end arp && wait "${PIDS[arp]}"
  echo "$victim had $(wc -l <"$SCRATCH/lost") addresses"
  expect "all are on the other directors" all_held "$1" "${others[@]}"
  awk -v begun="$begun" 'NR == FNR { lost[$1] = 1; next }
    { ms = $1 * 1000 - begun; if (ms < 0) next
      for (field = 2; field <= NF; field++) { address = $field; sub(",$", "", address); if (address in lost && !(address in seen)) { seen[address] = 1; print int(ms) } } }' \
    "$SCRATCH/lost" "$SCRATCH/arp" | sort -n >"$SCRATCH/announced"
  expect_eq "addresses that were announced" "$(wc -l <"$SCRATCH/announced")" "$(wc -l <"$SCRATCH/lost")"
  keep "groups_$1.first" "$(head -n 1 "$SCRATCH/announced")"
  keep "groups_$1.last" "$(tail -n 1 "$SCRATCH/announced")"
  power-on "$victim"
}
# lease_packets NAME: datagrams of leases on the LAN, a second.
lease_packets() {
  timeout 2 tcpdump -i br0 -n -w /dev/null -B 8192 udp port 7401 2>"$SCRATCH/tcpdump"
  figure "$1" $(($(sed -n 's/ packets captured//p' "$SCRATCH/tcpdump") / 2))
}

# So many datagrams take their time: each second of 200 groups is many of a busy machine's.
MANY=$(in_short 20 200)
directors_form
lease_packets groups_1_packets_per_s
for ((n = 1; n <= TIMES; n++)); do moved 1 $n; done
POLL=0.25 wait_until 30 five_vote || give_up "not all five vote"
there_are "$MANY"
sleep 1
lease_packets "groups_${MANY}_packets_per_s"
for ((n = 1; n <= TIMES; n++)); do moved "$MANY" $n; done

read -ra one <<<"$(tr ' ' '\n' <<<"${KEPT[groups_1.last]}" | sort -n | tr '\n' ' ')"
summary groups_1.last - 330
summary "groups_$MANY.first" - -
summary "groups_$MANY.last" - $((2 * one[${#one[@]} - 1]))
expect "nobody panicked" no_panic
