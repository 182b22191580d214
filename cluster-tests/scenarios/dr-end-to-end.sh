#!/bin/bash
# DR end to end: 300 requests over three servers with wlc and with rr are all answered; only the holder answers ARP.
# lab: --both-kernels --real-too
. "$(dirname "$0")/lib.sh"

director=$(holder)
for scheduler in wlc rr; do
  sed "s/^scheduler = .*/scheduler = \"$scheduler\"/" "$LVS_LAB_CLUSTER" >"$SCRATCH/$scheduler.toml"
  on d1 lvs-agent apply "$SCRATCH/$scheduler.toml" || give_up "the file with $scheduler is not accepted"
  shows() { on "$1" ipvsadm -Ln | grep -q "$VIP:80 $scheduler"; }
  wait_until 5 both shows || give_up "the kernels do not show $scheduler"

  start watch watch-holders --for 4
  start probe on c probe http "http://$VIP/" --every 10 --for 3
  join_line probe
  expect_eq "$scheduler.sent" "$(value sent "$LINE")" 300
  expect_eq "$scheduler.ok" "$(value ok "$LINE")" 300
  for server in r1 r2 r3; do
    if [ $scheduler = rr ]; then
      expect_eq "rr.requests.$server" "$(requests $server "$LINE")" 100
    else
      expect_ge "wlc.requests.$server" "$(requests $server "$LINE")" 1
    fi
  done
  join_line watch
  expect_eq "$scheduler.arp_macs_max" "$(value arp_macs_max "$LINE")" 1
  expect_eq "$scheduler.arp_answered_by" "$(value arp "$LINE" | sed 's/:.*//')" "$director"
done
