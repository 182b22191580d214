#!/bin/bash
# A director whose clock runs 5% slow hands its VIP over and takes none, a voter whose clock runs 5% fast grants nothing, both are named in status, and both come back once their clocks run right.
# lab:
. "$(dirname "$0")/lib.sh"

problem() { status "$1" '.problems[]' | grep -qE "$2"; }
# skew HOST PERMILLE SECONDS: begins at once.
skew() { start "skew_$1" skew-clock "$1" "$2" --for "$3" && wait_until 5 grep -q skewed "$SCRATCH/skew_$1"; }

expect "the cluster serves" wait_until 20 serves
first=$(holder) second=$(other "$(holder)")

# The holder's clock is slow: its lease lasts too long for the voters.
mark
start probe on c probe http "http://$VIP/" --every 5 --for 25
sleep 1
expect "the clock of $first is slow from now on" skew "$first" -50 30
expect "the vip is on $second within 15 s" wait_until 15 holds "$second"
expect "$first says why in its log" logged "clock of this node is wrong.*slower than those of most voters" "$first"
expect "$first says why it let go" logged "vip let go.*the clock of this node runs at another rate than others" "$first"
expect "and in status" wait_until 3 problem "$first" "clock of this node runs 5[.][0-9]% slower than those of most voters"
expect "$second names $first" wait_until 10 problem "$second" "clock of node n[0-9]+ runs [45][.][0-9]% slow"
join_line probe
expect_le "outage_ms_of_the_hand_over" "$(value outage_ms "$LINE")" 50
expect "$first has nothing against its clock once it runs right" wait_until 60 not problem "$first" "clock of this node"
expect "nor has $second" wait_until 15 not problem "$second" "clock of node"
expect "the vip stays on $second" holds "$second"
stop-agent "$second" || give_up "the agent of $second does not stop"
expect "$first takes the vip again" wait_until 10 holds "$first"
start-agent "$second" || give_up "the agent of $second does not start"
expect "the cluster serves again" wait_until 20 serves

# A voter's clock is fast: its promises end too early.
mark
start probe on c probe http "http://$VIP/" --every 5 --for 40
expect "the clock of r3 is fast from now on" skew r3 50 25
expect "r3 says so in status" wait_until 20 problem r3 "clock of this node runs [45][.][0-9]% faster than those of most voters"
expect "$first names r3" wait_until 10 problem "$first" "clock of node n[0-9]+ runs [45][.][0-9]% fast"
expect "r3 has nothing against its clock once it runs right" wait_until 30 not problem r3 "clock of this node"
join_line probe
expect_eq "requests_failed_with_a_voter_whose_clock_is_fast" "$(value failed "$LINE")" 0
expect "the vip stays on $first" holds "$first"
end skew_r3 || give_up "the clock of r3 was not skewed until here"
expect "nobody panicked" no_panic
