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

# wait_until SECONDS CMD…: polls every 50 ms; leaves the time it took in $WAITED (milliseconds); fails when it took too long.
wait_until() {
  local start now limit=$(($1 * 1000))
  now_ms start
  while ! "${@:2}"; do
    now_ms now
    if [ $((now - start)) -ge $limit ]; then WAITED=over_$limit && return 1; fi
    sleep 0.05
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

# The director that holds the VIP, and the other one.
holds() { [ "$(holder)" = "$1" ]; }
held() { [ "$(holder | wc -l)" = 1 ]; }
other() { if [ "$1" = d1 ]; then echo d2; else echo d1; fi; }

# sends_to DIRECTOR SERVER: the director's kernel has the server (r1…) with a weight above 0.
address() { case $1 in c) echo 10.0.0.10 ;; d1) echo 10.0.0.11 ;; d2) echo 10.0.0.12 ;; r1) echo 10.0.0.21 ;; r2) echo 10.0.0.22 ;; r3) echo 10.0.0.23 ;; esac; }
sends_to() { on "$1" ipvsadm -Ln | awk -v server="$(address "$2"):80" '$1 == "->" && $2 == server && $4 > 0 { found = 1 } END { exit !found }'; }
sends_to_all() { sends_to "$1" r1 && sends_to "$1" r2 && sends_to "$1" r3; }
both() { "$1" d1 "${@:2}" && "$1" d2 "${@:2}"; }

# status HOST JQ: asks the agent of a host.
status() { on "$1" lvs-agent status --json 2>/dev/null | jq -r "$2"; }
vip_on_lo() { on "$1" ip -o addr show dev lo | grep -q " $VIP/32 "; }
# The cluster serves: one holder, every server in both kernels.
serves() { held && both sends_to_all; }
