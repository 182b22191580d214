# Sourced by every scenario: figures, expectations, waiting. Runs inside the lab.
# shellcheck shell=bash
#
# A scenario prints "figure NAME VALUE" for what it measured and "ok …" or "FAIL …" for what it expected; it ends with
# status 0 only if every expectation held. In virtual time the clock advances only while everything sleeps, so whatever
# waits here sleeps.
set -u

EXPECTED=0 BROKEN=0
SCRATCH=$(mktemp -d /tmp/scenario.XXXXXX)

finish() {
  local status=$?
  trap - EXIT
  if [ $BROKEN -gt 0 ] || [ $EXPECTED = 0 ]; then
    echo "FAIL $BROKEN of $EXPECTED expectations did not hold" && exit 1
  fi
  exit $status
}
trap finish EXIT

figure() { printf 'figure %s %s\n' "$1" "$2"; }

verdict() { # HELD TEXT
  EXPECTED=$((EXPECTED + 1))
  if [ "$1" = yes ]; then printf 'ok   %s\n' "$2"; else BROKEN=$((BROKEN + 1)) && printf 'FAIL %s\n' "$2"; fi
}

# expect_le NAME VALUE BOUND and expect_ge: whole numbers; anything else fails.
expect_le() { figure "$1" "$2" && if [ "$2" -le "$3" ] 2>/dev/null; then verdict yes "$1 is $2, at most $3"; else verdict no "$1 is '$2', not at most $3"; fi; }
expect_ge() { figure "$1" "$2" && if [ "$2" -ge "$3" ] 2>/dev/null; then verdict yes "$1 is $2, at least $3"; else verdict no "$1 is '$2', not at least $3"; fi; }
# expect_eq NAME VALUE WANTED: texts.
expect_eq() { if [ "$2" = "$3" ]; then verdict yes "$1 is '$2'"; else verdict no "$1 is '$2', not '$3'"; fi; }
# expect NAME CMD…: the command succeeds.
expect() { if "${@:2}"; then verdict yes "$1"; else verdict no "$1"; fi; }
# give_up TEXT: there is no point in going on.
give_up() { verdict no "$*" && exit 1; }

not() { ! "$@"; }

# now_ms VAR: the lab's clock, in milliseconds, without starting a process.
now_ms() { local _micros=${EPOCHREALTIME/./} && printf -v "$1" %s $((_micros / 1000)); }

# wait_until SECONDS CMD…: polls every 50 ms, after 3 s every 250 ms, after 10 s every 2 s (a poll costs real time), or every $POLL seconds where that is
# set before it; leaves the time it took in $WAITED (milliseconds); fails when it took too long.
wait_until() {
  local start now limit=$(($1 * 1000))
  now_ms start
  while ! "${@:2}"; do
    now_ms now
    if [ $((now - start)) -ge $limit ]; then WAITED=over_$limit && return 1; fi
    if [ -n "${POLL:-}" ]; then sleep "$POLL"; elif [ $((now - start)) -lt 3000 ]; then sleep 0.05; elif [ $((now - start)) -lt 10000 ]; then sleep 0.25; else sleep 2; fi
  done
  now_ms now
  WAITED=$((now - start))
}

# value KEY LINE: what stands after KEY= in a line of the prober.
value() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"; }
# requests SERVER LINE: how many requests a server answered.
requests() { local count && count=$(value servers "$2" | tr ',' '\n' | sed -n "s/^$1://p") && echo "${count:-0}"; }

# start NAME CMD…: runs a command beside the scenario; join_line NAME waits for it and leaves its output in $LINE.
declare -A PIDS=()
start() { "${@:2}" >"$SCRATCH/$1" & PIDS[$1]=$!; }
join_line() { wait "${PIDS[$1]}" && LINE=$(cat "$SCRATCH/$1") && echo "$1: $LINE"; }

# end NAME…: probes and watches tell what they have seen until now; fails when one was over before.
end() { local name && for name in "$@"; do kill "${PIDS[$name]}" || return 1; done; }

# The director that holds the VIP, and the other one.
holds() { [ "$(holder)" = "$1" ]; }
held() { [ "$(holder | wc -l)" = 1 ]; }
other() { if [ "$1" = d1 ]; then echo d2; else echo d1; fi; }

# sends_to DIRECTOR SERVER: the director's kernel has the server (r1…) with a weight above 0.
address() { case $1 in c) echo 10.0.0.10 ;; d*) echo 10.0.0.$((10 + ${1#d})) ;; r*) echo 10.0.0.$((20 + ${1#r})) ;; esac; }
sends_to() { on "$1" ipvsadm -Ln | awk -v server="$(address "$2"):80" '$1 == "->" && $2 == server && $4 > 0 { found = 1 } END { exit !found }'; }
sends_to_all() { sends_to "$1" r1 && sends_to "$1" r2 && sends_to "$1" r3; }
both() { "$1" d1 "${@:2}" && "$1" d2 "${@:2}"; }

# status HOST JQ: asks the agent of a host.
status() { on "$1" lvs-agent status --json 2>/dev/null | jq -r "$2"; }
vip_on_lo() { on "$1" ip -o addr show dev lo | grep -q " $VIP/32 "; }
# The cluster serves: one holder, every server in both kernels.
serves() { held && both sends_to_all; }

# said CMD…: the command's status; what it said is shown and kept in $SCRATCH/said.
said() {
  local status=0
  "$@" >"$SCRATCH/said" 2>&1 || status=$?
  sed 's/^/    | /' "$SCRATCH/said"
  return $status
}
# refused NAME WORDS CMD…: the command fails and says WORDS (an extended regular expression).
refused() {
  if said "${@:3}"; then verdict no "$1 is refused"; elif grep -qiE -- "$2" "$SCRATCH/said"; then verdict yes "$1 is refused, and why is said"; else verdict no "$1 is refused saying '$2'"; fi
}

# A join token, made on HOST: token HOST [OPTION…].
token() { on "$1" lvs-agent token create --json "${@:2}" | jq -r .token; }
# setting HOST LINE…: adds lines to agent.toml. renamed HOST NAME and has_roles HOST ROLE: for hosts whose agent has not run yet.
setting() { local host=$1 && shift && printf '%s\n' "$@" | on "$host" sh -c 'cat >>/etc/lvs-agent/agent.toml'; }
renamed() { on "$1" sed -i "s/^node = .*/node = \"$2\"/" /etc/lvs-agent/agent.toml; }
has_roles() { on "$1" sed -i "s/^roles = .*/roles = [\"$2\"]/" /etc/lvs-agent/agent.toml; }
# An agent that has just been started answers.
answers() { on "$1" lvs-agent status >/dev/null 2>&1; }

# mark: from here on; logged WORDS HOST…: the agent of one of the hosts has logged WORDS (an extended regular expression) since.
declare -A MARK=()
mark() { local log && for log in "$LVS_LAB_LOG"/*.agent.log; do MARK[$log]=$(wc -l <"$log"); done; }
logged() {
  local host log line
  for host in "${@:2}"; do
    log=$LVS_LAB_LOG/$host.agent.log
    line=$(tail -n +$((${MARK[$log]:-0} + 1)) "$log" | grep -E -m 1 -- "$1") && echo "${line:0:300}" && return
  done
  return 1
}

# What members and voters say: knows HOST NAME, hears HOST NAME, members HOST, unheard HOST.
knows() { [ "$(status "$1" "any(.nodes[]; .name == \"$2\")")" = true ]; }
hears() { [ "$(status "$1" "any(.nodes[]; .name == \"$2\" and .reachable)")" = true ]; }
members() { status "$1" '[.nodes[].name] | join(" ")'; }
unheard() { status "$1" '[.nodes[] | select(.reachable | not) | .name] | join(" ")'; }
# pids HOST…: of guards and workers.
pids() { local host && for host in "$@"; do agent-pids "$host" | sed "s/^/$host /"; done; }
# What must not change while nothing happens: holder, rules, members, voters, term, both kernels' tables, processes.
snapshot() {
  holder
  status d1 '(.cluster | [.revision, .term, (.voters | join(" "))] | @tsv), (.nodes[] | [.name, .voter, .reachable, (.roles | join(" "))] | @tsv)'
  on d1 ipvsadm -Sn && on d2 ipvsadm -Sn
  pids d1 d2 r1 r2 r3
}
no_panic() { ! grep -l "panicked at" "$LVS_LAB_LOG"/*.agent.log; }
# in_short SHORT LONG: LONG where the caller of scripts/lab asked for --long.
in_short() { if [ -n "${LVS_LONG:-}" ]; then echo "$2"; else echo "$1"; fi; }
# traffic SECONDS: requests every 20 ms and a watch on the holder, for so long at most; undisturbed: ends them now; they were not over before
# (else they saw only a part), none failed, and the VIP has not moved.
traffic() {
  start probe on c probe http "http://$VIP/" --every 20 --for "$1" --log "$LVS_LAB_LOG/probe.log"
  start watch watch-holders --every 20 --arp-every 500 --for "$1"
}
undisturbed() {
  expect "requests and watch went on until here" end probe watch
  join_line probe
  expect_eq failed "$(value failed "$LINE")" 0
  grep -v " ok" "$LVS_LAB_LOG/probe.log" | head -n 5
  join_line watch
  expect_eq changes_of_holder "$(value changes "$LINE")" 0
  expect_eq holders_max "$(value holders_max "$LINE")" 1
}
