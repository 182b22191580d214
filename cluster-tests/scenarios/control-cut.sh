#!/bin/bash
# The agents' network alone fails, all of it: the directors elect a fallback holder by ARP on the VIP's network, within 1.5 s and with one MAC at every sample.
# lab: --figures --cluster none --real-servers 6
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/phases.sh"
. "$(dirname "$0")/lib/agents-lan.sh"

agents_lan || give_up "no cluster on a network of its own"
for round in 1 2; do
  without_agents_network "cut_$round" $((round * 29)) d1 d2 r1 r2 r3
  expect "five nodes vote again" wait_until 30 five_vote
done
expect "no panic" no_panic
