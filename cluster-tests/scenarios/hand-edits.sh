#!/bin/bash
# Hand edits of our entries, and of the VIP, are put back within a second and logged; a foreign service is left alone.
# lab: --both-kernels --real-too
. "$(dirname "$0")/lib.sh"

director=$(holder)
on "$director" ipvsadm -A -t "10.0.0.99:8080" -s sh
on "$director" ipvsadm -a -t "10.0.0.99:8080" -r 10.0.0.23:8080 -m -w 7
foreign=$(on "$director" ipvsadm -Sn | grep 10.0.0.99)
before=$(on "$director" ipvsadm -Sn)
same() { [ "$(on "$director" ipvsadm -Sn)" = "$before" ]; }
edit() { # NAME ARGS of ipvsadm
  on "$director" ipvsadm "${@:2}" || give_up "ipvsadm ${*:2}"
  expect "$1 by hand is put back" wait_until 3 same
  expect_le "$1_back_ms" "$WAITED" 1000
}
edit removal_of_a_server -d -t "$VIP:80" -r 10.0.0.21:80
edit another_weight -e -t "$VIP:80" -r 10.0.0.22:80 -g -w 9
edit a_server_too_many -a -t "$VIP:80" -r 10.0.0.77:80 -g
edit removal_of_the_service -D -t "$VIP:80"
# The VIP itself: the guard puts it back when it next tells the kernel of a renewal, nobody else takes it, and the log has it as drift.
mark
on "$director" ip addr del "$VIP/32" dev eth0 || give_up "the vip stays"
expect "removal of the vip by hand is put back" wait_until 3 holds "$director"
expect_le "removal_of_the_vip_back_ms" "$WAITED" 1000
sleep 2
since() { tail -n +$((MARK[$LVS_LAB_LOG/$1.agent.log] + 1)) "$LVS_LAB_LOG/$1.agent.log" | grep -cE -- "$2"; }
expect_eq "lines that log it as drift" "$(since "$director" "somebody else removed the vip, put back.* places=\"?$VIP on eth0\"? drifted=true")" 1
expect_eq "lines of a VIP that moves" "$(since d1 'vip (taken|let go)') $(since d2 'vip (taken|let go)')" "0 0"
expect_eq "the foreign service" "$(on "$director" ipvsadm -Sn | grep 10.0.0.99)" "$foreign"
on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
sleep 2
expect_eq "the foreign service after apply" "$(on "$director" ipvsadm -Sn | grep 10.0.0.99)" "$foreign"
