#!/bin/bash
# apply of a bad file: refused whole, with the file and line of every error; nothing is disturbed.
. "$(dirname "$0")/lib.sh"

bad=$SCRATCH/bad.toml
sed -e 's/^scheduler = .*/scheduler = "roundrobin"/' -e 's/^address = "10.0.0.22"/address = "10.0.0.322"/' "$LVS_LAB_CLUSTER" >"$bad"
wrong_scheduler=$(grep -n roundrobin "$bad" | cut -d: -f1)
wrong_address=$(grep -n 10.0.0.322 "$bad" | cut -d: -f1)
before=$(on d1 ipvsadm -Sn)
revision=$(status d1 .cluster.revision)

start probe on c probe http "http://$VIP/" --every 10 --for 4
sleep 1
on d1 lvs-agent apply "$bad" >"$SCRATCH/out" 2>&1 && give_up "the bad file was accepted"
cat "$SCRATCH/out"
expect "the wrong scheduler is named with its place" grep -q "bad.toml:$wrong_scheduler" "$SCRATCH/out"
expect "the wrong address is named with its place" grep -q "bad.toml:$wrong_address" "$SCRATCH/out"
echo 'this is [not toml' >"$SCRATCH/worse.toml"
expect "a file that is no TOML is refused" not on d1 lvs-agent apply "$SCRATCH/worse.toml"
expect "a file that is not there is refused" not on d1 lvs-agent apply "$SCRATCH/none.toml"
sleep 2
expect_eq "the rules of d1" "$(on d1 ipvsadm -Sn)" "$before"
expect_eq revision "$(status d1 .cluster.revision)" "$revision"
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
