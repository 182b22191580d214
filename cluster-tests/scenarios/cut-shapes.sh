#!/bin/bash
# Links between the five voters are cut in many shapes: never two holders; somebody holds the VIP where a director reaches a majority; an apply succeeds again.
# lab: --figures --cluster none --real-servers 5 --timeout 600 -- links are cut in a dozen shapes, each looked at for five seconds
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"

VOTERS=(d1 d2 r1 r2 r3)
# Two servers that do not vote serve, so that a client sees nothing of a cut but what becomes of the VIP.
for server in r4 r5; do
  on $server sysctl -qw net.ipv4.conf.{all,lo}.arp_ignore=1 net.ipv4.conf.{all,lo}.arp_announce=2
  on $server ip addr add "$VIP/32" dev lo
done
# rules WEIGHT: the cluster file with another weight.
rules() {
  # What is looked at here is the lease: a director that fell back would have the VIP on its part of the LAN.
  sed '/^\[\[service.server\]\]/,$d; s/^interface = .*/&\non_quorum_loss = "release"/' "$LVS_LAB_CLUSTER_FILE"
  for server in r4 r5; do printf '[[service.server]]\nname = "%s"\naddress = "%s"\nweight = %d\nagentless = true\n' $server "$(address $server)" "$1"; done
}
LVS_LAB_CLUSTER_FILE=$(dirname "$0")/../cluster.toml
rules 1 >"$SCRATCH/rules.toml"
form-cluster --hosts d1,d2,r1,r2,r3 "$SCRATCH/rules.toml" || give_up "no cluster"
sends_to_both() { sends_to "$1" r4 && sends_to "$1" r5; }
whole() { held && both sends_to_both && [ "$(status d1 '[([.nodes[] | select(.reachable)] | length), (.cluster.voters | length), .cluster.quorum] | @csv')" = '5,5,true' ]; }

# hears A B, of the links that are cut: B's frames reach A, and A's B.
declare -A CUT=()
linked() { [ "$1" = "$2" ] || { [ -z "${CUT[$1,$2]:-}" ] && [ -z "${CUT[$2,$1]:-}" ]; }; }
# majority NODE: it reaches three of the five, itself among them.
majority() {
  local other count=0
  for other in "${VOTERS[@]}"; do if linked "$1" "$other"; then count=$((count + 1)); fi; done
  [ $count -ge 3 ]
}
# What ought to be possible: somebody holds; somebody leads, and a director reaches it.
can_hold() { majority d1 || majority d2; }
# A director passes a change to the leader and to nobody else: whoever may lead must be reached by one.
can_write() {
  local leader some=''
  for leader in "${VOTERS[@]}"; do
    majority "$leader" || continue
    some=yes
    linked d1 "$leader" || linked d2 "$leader" || return 1
  done
  [ -n "$some" ]
}

# longest_dark LOG END_MS: the longest time without a holder, of lines "MS HOLDERS".
longest_dark() {
  awk -v end="$2" 'function over(at) { if (dark != "" && at - dark > most) most = at - dark; dark = "" }
    $2 == "-" { dark = $1; next } { over($1) } END { over(end); printf "%d\n", most }' "$1"
}
# writes: each director begins to change the rules, at once and again and again later. When a change succeeded that was begun at once, and when any did, in $WROTE
# and $RESUMED (ms), or 9999 where that takes longer than a shape is looked at.
WEIGHT=1
mkfifo "$SCRATCH/wrote"
exec {WRITTEN}<>"$SCRATCH/wrote"
writer() { # DIRECTOR BEGUN_MS
  local tries
  trap - EXIT
  [ "$2" = 0 ] || sleep_ms "$2"
  for ((tries = 0; tries < 200; tries++)); do
    if on "$1" lvs-agent apply "$SCRATCH/next.$1.$2.toml" >"$SCRATCH/applied.$1.$2" 2>&1; then echo "$1 $2" >"$SCRATCH/wrote" && return; fi
    sleep 0.05
  done
}
writes() {
  local director after begun now at writers=() writer
  now_ms begun
  for after in 0 150 300 450 600 750 900 1050 1200 1500 1800 2400 3000; do
    for director in d1 d2; do
      WEIGHT=$((WEIGHT % 1000 + 1))
      rules $WEIGHT >"$SCRATCH/next.$director.$after.toml"
      writer $director $after & writers+=($!)
    done
  done
  WROTE=9999 RESUMED=9999
  while read -r -t $((SPAN - 1)) -u "$WRITTEN" director after; do
    now_ms now
    at=$((now - begun))
    [ $RESUMED != 9999 ] || { RESUMED=$at && echo "$director wrote after $at ms what it began after $after"; }
    if [ "$after" = 0 ]; then WROTE=$at && break; fi
  done
  for writer in "${writers[@]}"; do kill "$writer" $(pgrep -P "$writer") 2>/dev/null; done
  wait "${writers[@]}" 2>/dev/null
  while read -r -t 0.001 -u "$WRITTEN" director; do :; done
}

# How many seconds a shape is looked at.
SPAN=$(in_short 5 9)
COUNT=0 HOLDERS=1
# shape CLASS CUT…: "a-b" is cut both ways, "a>b" from a to b. CLASS names the figures.
shape() {
  local class=$1 cut one other
  shift
  heal
  CUT=()
  be_whole
  COUNT=$((COUNT + 1))
  echo "$class: cut $*; $(holder) holds, $(status d1 .cluster.leader) leads"
  start watch watch-holders --every 5 --arp-every 100 --for "$SPAN" --log "$SCRATCH/watch.log"
  start probe on c probe http "http://$VIP/" --every 5 --for "$SPAN"
  sleep 0.5
  phase $COUNT 75
  for cut in "$@"; do
    case $cut in
    *-*) one=${cut%-*} other=${cut#*-} && cut "$one" "$other" && CUT["$one,$other"]=1 CUT["$other,$one"]=1 ;;
    *\>*) one=${cut%>*} other=${cut#*>} && cut --one-way "$one" "$other" && CUT["$one,$other"]=1 ;;
    esac || give_up "cannot cut $cut"
  done
  writes
  seen "$class"
}
# seen CLASS: ends probe and watch, and keeps what they saw.
seen() {
  local dark
  join_line probe
  dark=$(value outage_ms "$LINE")
  if can_hold; then keep "$1.outage" "$dark"; else echo "no director reaches a majority: outage $dark"; fi
  join_line watch
  if [ "$(value holders_max "$LINE")" -gt $HOLDERS ]; then HOLDERS=$(value holders_max "$LINE"); fi
  dark=$(longest_dark "$SCRATCH/watch.log" $((SPAN * 1000)))
  if can_hold; then keep "$1.dark" "$dark"; else echo "no director reaches a majority: dark $dark"; fi
  if can_write; then
    keep "$1.write" "$WROTE"
    keep "$1.resume" "$RESUMED"
  else
    echo "somebody may lead whom no director reaches, or nobody: write $WROTE"
  fi
}
# kept LINK…: the cuts that leave these links only.
kept() {
  local one other links=" $* "
  for one in "${VOTERS[@]}"; do
    for other in "${VOTERS[@]}"; do
      [[ $one < $other ]] || continue
      case $links in *" $one-$other "* | *" $other-$one "*) ;; *) echo "$one-$other" ;; esac
    done
  done
}

# The holder is not heard by any other voter, or hears none.
from_holder() { local other && for other in "${VOTERS[@]}"; do holds "$other" || echo "$(holder)>$other"; done; }
to_holder() { local other && for other in "${VOTERS[@]}"; do holds "$other" || echo "$other>$(holder)"; done; }

# The named ones: two pairs that share one neighbour; two nodes that hear one other only; a chain; a star; frames that pass one way only.
# shellcheck disable=SC2046
named() {
  shape bridge $(kept d1-r1 d1-r3 r1-r3 d2-r2 d2-r3 r2-r3)
  shape bridge $(kept d1-d2 d1-r1 d2-r1 d1-r2 d1-r3 r2-r3)
  shape leaves $(kept d1-r2 r1-r2 d2-r2 d2-r3 r2-r3)
  shape leaves $(kept d2-r2 r1-r2 d1-r2 d1-r3 r2-r3)
  shape chain $(kept d1-r1 r1-d2 d2-r2 r2-r3)
  shape chain $(kept r1-d1 d1-r2 r2-d2 d2-r3)
  shape star $(kept d1-d2 d1-r1 d1-r2 d1-r3)
  shape one_way $(from_holder)
  shape one_way $(to_holder)
  shape one_way "d1>d2" "d2>r1" "r1>r2" "r2>r3" "r3>d1"
}
# Any: each link is cut with an even chance. The same seed gives the same.
any() {
  local one other cuts=()
  for one in "${VOTERS[@]}"; do
    for other in "${VOTERS[@]}"; do if [[ $one < $other ]] && ((RANDOM % 2)); then cuts+=("$one-$other"); fi; done
  done
  shape any "${cuts[@]}"
}

# spoiled NAME SECONDS CMD…: the command for each voter's cable; rules are written once a second or so.
spoiled() {
  local name=$1 seconds=$2 host begun now
  heal
  CUT=()
  be_whole
  start watch watch-holders --every 5 --arp-every 100 --for "$seconds" --log "$SCRATCH/watch.log"
  sleep 0.5
  for host in "${VOTERS[@]}"; do "$3" "$host" "${@:4}"; done
  now_ms begun
  now=$begun
  while [ $((now - begun)) -lt $(((seconds - 10) * 1000)) ]; do
    writes
    keep "$name.write" "$WROTE"
    keep "$name.resume" "$RESUMED"
    sleep 1
    now_ms now
  done
  join_line watch
  heal
  if [ "$(value holders_max "$LINE")" -gt $HOLDERS ]; then HOLDERS=$(value holders_max "$LINE"); fi
  keep "$name.moves" "$(value changes "$LINE")"
  keep "$name.unheld_ms" "$(value unheld_ms "$LINE")"
  # Every time without a holder.
  local dark
  for dark in $(awk -v end=$((seconds * 1000)) '$2 == "-" { since = $1; next } since != "" { printf "%d\n", $1 - since; since = "" }
    END { if (since != "") printf "%d\n", end - since }' "$SCRATCH/watch.log"); do keep "$name.dark" "$dark"; done
}

RANDOM=54
for ((n = 0; n < $(in_short 1 2); n++)); do named; done
for ((n = 0; n < $(in_short 2 40); n++)); do any; done
# A frame passes two cables: three of ten are lost on the way, or it takes 0 to 200 ms.
spoiled loss30 "$(in_short 15 70)" loss 16.33
spoiled jitter200 "$(in_short 15 70)" delay 50 50

expect_eq holders_max "$HOLDERS" 1
for class in bridge leaves chain star one_way any; do
  case $class in
  any) missed $class.dark - 330 && missed $class.outage - 340 ;;
  *) summary $class.dark - 330 && summary $class.outage - 340 ;;
  esac
  missed $class.resume - 1000
  missed $class.write - 1000
done
for class in loss30 jitter200; do
  [ -z "${KEPT[$class.dark]:-}" ] || missed $class.dark - 330
  missed $class.resume - 1000
  missed $class.write - 1000
done
expect "nobody panicked" no_panic
