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
# wrong NAME WORDS FILE [OPTION…]: plan, plan --offline and apply say the same, with the place, and end with 2.
wrong() {
  local how
  for how in "plan --offline" plan apply; do
    # shellcheck disable=SC2086
    on d1 lvs-agent $how "$3" >"$SCRATCH/out" 2>&1
    expect_eq "the exit code of $how of $1" $? 2
    expect "$how of $1 says so with its place" grep -qF -- "$2" "$SCRATCH/out"
  done
}
: >"$SCRATCH/empty.toml"
wrong "an empty file" "empty.toml:1:1: the file has no [[vip]]" "$SCRATCH/empty.toml"
{ cat "$LVS_LAB_CLUSTER" && printf '\n[check]\ntype = "tcp"\n'; } >"$SCRATCH/check.toml"
wrong "a check without its service" "check.toml:$(grep -n '^\[check\]' "$SCRATCH/check.toml" | cut -d: -f1):2: a cluster file has no key \`check\`: did you mean [service.check]" "$SCRATCH/check.toml"
echo '{"vip": [{"name": "web"}]}' >"$SCRATCH/rules.json"
wrong "JSON" "rules.json:1:1: this is JSON, and a cluster file is TOML: \`lvs-agent export\` writes one" "$SCRATCH/rules.json"
sleep 2
expect_eq "the rules of d1" "$(on d1 ipvsadm -Sn)" "$before"
expect_eq revision "$(status d1 .cluster.revision)" "$revision"
join_line probe
expect_eq failed "$(value failed "$LINE")" 0
expect "all rules go where that is said" said on d1 lvs-agent apply --prune "$SCRATCH/empty.toml"
expect_eq "the VIP groups that are left" "$(status d1 '.vips | length')" 0
