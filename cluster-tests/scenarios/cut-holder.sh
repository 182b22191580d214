#!/bin/bash
# Cut the holder from everyone, then heal: never do two MACs answer, and it lets go by itself.
# lab: --real-too
. "$(dirname "$0")/lib.sh"

first=$(holder)
second=$(other "$first")
start watch watch-holders --every 5 --for 16
start probe on c probe http "http://$VIP/" --every 5 --for 15
sleep 1
mark
cut "$first"
expect "$second takes the VIP" wait_until 3 holds "$second"
figure handover_ms "$WAITED"
expect "$first has let go" not grep -qx "$first" <(holder)
expect "$first has logged it" wait_until 3 logged "vip let go" "$first"
# What a removal takes is in the guard's memory before the VIP is: nothing has to be read from a disk at the deadline.
expect_eq pages_to_map_for_the_removal "$(value page_faults "$(logged "vip let go" "$first")")" 0
sleep 5
heal
join_line probe
expect_le outage_ms "$(value outage_ms "$LINE")" 500
join_line watch
# The one that is cut off, alone on its cable, has the VIP by fallback there: what counts is who answers the LAN.
figure holders_max "$(value holders_max "$LINE")"
expect_eq arp_macs_max "$(value arp_macs_max "$LINE")" 1
expect "one director holds the VIP" held
