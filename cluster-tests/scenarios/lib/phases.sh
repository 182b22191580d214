# Sourced by scenarios that measure: one fault many times within one boot, each time at another phase of the rhythms that decide how long it takes
# (renewals of a lease, advertisements), and what came of it as min, median and max.
# shellcheck shell=bash

# How often: few times to see that it works, twenty or more to tell a figure.
TIMES=${TIMES:-$(in_short 3 20)}

# sleep_ms MS.
sleep_ms() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

# phase N PERIOD_MS: sleeps for a part of the period, another one for each N, so that TIMES of them are spread evenly over the whole period.
phase() { sleep_ms $(((2 * (($1 - 1) % TIMES) + 1) * $2 / (2 * TIMES))); }
# beat DIRECTOR: waits until it renews its lease, or advertises itself where keepalived does that, so that a phase counts from there. The lease is asked of r3,
# too, which is never a director.
BEAT=lease
beat() {
  local what="udp port 7401 and src host $(address "$1") and dst host $(address r3)"
  [ $BEAT = lease ] || what="ip proto 112 and src host $(address "$1")"
  timeout 10 tcpdump --immediate-mode -n -c 1 -i "$1-0" "$what" >"$SCRATCH/beat" 2>&1 || give_up "$1 does nothing of the kind '$what': $(cat "$SCRATCH/beat")"
}

# keep NAME VALUE: one more value of a figure.
declare -A KEPT=()
keep() { KEPT[$1]+="$2 " && echo "$1: $2"; }

# median BOUND: what a median of many is expected to be; that of three says little.
median() { in_short - "$1"; }
# summary NAME MEDIAN MAX: figures NAME_min, NAME_median and NAME_max of what was kept; the latter two are expected to be at most MEDIAN and MAX
# ("-": no matter). missed NAME MEDIAN MAX: the same for goals that are not reached yet: they are told, and not expected.
summary() { summarise "$1" "$2" "$3" bounded; }
missed() { summarise "$1" "$2" "$3" ''; }
summarise() {
  local sorted count
  read -ra sorted <<<"$(tr ' ' '\n' <<<"${KEPT[$1]:-}" | grep . | sort -n | tr '\n' ' ')"
  count=${#sorted[@]}
  if [ "$count" = 0 ]; then verdict no "$1 was measured" && return; fi
  echo "$1: $count times, sorted: ${sorted[*]}"
  figure "$1_min" "${sorted[0]}"
  of_bound "$1_median" "${sorted[count / 2]}" "$2" "$4"
  of_bound "$1_max" "${sorted[count - 1]}" "$3" "$4"
}
of_bound() { # NAME VALUE BOUND bounded|''
  if [ "$3" = - ]; then figure "$1" "$2" && return; fi
  figure "$1" "$2 (goal $3)"
  [ -z "$4" ] || if [ "$2" -le "$3" ] 2>/dev/null; then verdict yes "$1 is $2, at most $3"; else verdict no "$1 is '$2', not at most $3"; fi
}

# What sends a client's requests; a scenario may have another.
PROBE=(on c probe http "http://$VIP/")

# outage_of NAME N PERIOD_MS SECONDS CMD…: requests every 5 ms for so long; after a second the command, at the Nth phase of the holder's renewals, which come
# every so often. Keeps the longest time without an answer as NAME, leaves the line in $LINE.
outage_of() {
  start probe "${PROBE[@]}" --every 5 --for "$4"
  sleep 1
  beat "$(holder)"
  phase "$2" "$3"
  "${@:5}" || give_up "${*:5}"
  join_line probe
  keep "$1" "$(value outage_ms "$LINE")"
}

# The whole cluster of d1, d2, r1, r2, r3 is in order, as HOST sees it, and as both directors do.
sees_all() { [ "$(status "$1" '[([.nodes[] | select(.reachable)] | length), (.cluster.voters | length), .cluster.quorum] | @csv')" = '5,5,true' ]; }
whole() { serves && both sees_all; }
be_whole() { POLL=0.25 wait_until 30 whole || give_up "the cluster is not in order after 30 s"; }
# restart HOST: its agent, and it is back: the others may not have noticed that it was away.
restart() {
  if ! stop-agent "$1" || ! start-agent "$1"; then give_up "the agent of $1 does not restart"; fi
  wait_until 30 sees_all "$1" || give_up "$1 is not back 30 s after its agent was restarted"
  be_whole
}
# How long a lease is, and how often it is renewed.
renewal_ms() { case $1 in fast) echo 25 ;; lan) echo 75 ;; wan) echo 500 ;; esac; }

# forget_all: no host runs an agent or is in a cluster.
forget_all() {
  local host
  for host in d1 d2 r1 r2 r3; do
    if agent-pids $host >/dev/null 2>&1; then
      on $host lvs-agent leave --force >"$SCRATCH/left" 2>&1 || { cat "$SCRATCH/left" && give_up "$host does not leave"; }
      stop-agent $host
    fi
    on $host sh -c 'rm -rf /var/lib/lvs-agent/*'
  done
}
# form_with PROFILE: a cluster of the five, with this timing; the one that there was before is forgotten. Wants --cluster none.
form_with() {
  forget_all
  on d1 sed -i '/^timing = /d' /etc/lvs-agent/agent.toml
  setting d1 "timing = \"$1\""
  form-cluster "$(dirname "$0")/../cluster.toml" || give_up "no cluster with timing $1"
  be_whole
}

# off_and_on NAME N PERIOD_MS: the holder loses its power, and gets it back.
off_and_on() {
  local director
  director=$(holder)
  outage_of "$1" "$2" "$3" 3 power-off "$director"
  holds "$(other "$director")" || give_up "the VIP is not on $(other "$director")"
  power-on "$director"
  be_whole
}
