#!/bin/bash
# apply of a bad file: refused whole, with the file and line of every error; nothing is disturbed. Of a doubtful one: warned of, refused by --strict; what comes of it is said with its cause, once.
# lab: --real-too
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

# The lab's agent.toml says that a single VIP network is eth0 on its node, however it is called. Without that the cluster file's name counts.
for director in d1 d2; do
  on "$director" sed -i '/^interface = /d' /etc/lvs-agent/agent.toml
  stop-agent "$director" && start-agent "$director"
  expect "$director is back" wait_until 10 sends_to_all "$director"
  expect "the cluster serves" wait_until 10 serves
done

# Files that are legal and hardly meant. ended CODE CMD…: how it ends; what it says on stderr is kept in $SCRATCH/warned.
ended() {
  local code=0
  "${@:2}" >"$SCRATCH/out" 2>"$SCRATCH/warned" || code=$?
  sed 's/^/    | /' "$SCRATCH/out" "$SCRATCH/warned"
  expect_eq "the exit code of ${*:4:2} …" "$code" "$1"
}
warned() { expect "it warns: $1" grep -q "^warning: .*$1" "$SCRATCH/warned"; }
nowhere=$SCRATCH/nowhere.toml taken=$SCRATCH/taken.toml
sed -e 's/^interface = .*/interface = "eth9"/' -e 's/^address = "10.0.0.23"/address = "10.0.0.99"/' "$LVS_LAB_CLUSTER" >"$nowhere"
sed -e 's/^addresses = .*/addresses = ["10.0.0.21"]/' -e 's/^address = "10.0.0.21"/address = "10.0.0.99"/' "$LVS_LAB_CLUSTER" >"$taken"
first=$(holder)
all_known() { on "$1" lvs-agent plan "$nowhere" >"$SCRATCH/out" 2>&1 && ! grep -q "it is not known" "$SCRATCH/out"; }
for host in d1 d2 r2; do expect "$host knows what interfaces there are" wait_until 5 all_known $host; done
ended 0 on r2 lvs-agent plan "$LVS_LAB_CLUSTER"
expect_eq "what there is to be warned of in the lab's own file" "$(cat "$SCRATCH/warned")" ""
ended 0 on r2 lvs-agent plan "$taken"
warned "vip web: 10.0.0.21 is the address of r1,"
warned "server http/r1: no member of the cluster is at 10.0.0.99,"
ended 0 on d1 lvs-agent plan "$nowhere"
warned "d1 has no eth9, it has .*eth0.*; d2 has no eth9, it has .*eth0.*; $first holds it now"
sed 's/^addresses = .*/addresses = ["10.0.0.100", "10.0.0.10", "10.0.0.101"]/' "$LVS_LAB_CLUSTER" >"$SCRATCH/answers.toml"
ended 0 on d2 lvs-agent plan "$SCRATCH/answers.toml"
warned "vip web: 10.0.0.10 is in use: 02:00:0a:00:00:0a answers for it by ARP on eth0 of d2;"
expect_eq "how many VIPs are in use" "$(wc -l <"$SCRATCH/warned")" 1
ended 5 on d1 lvs-agent plan --strict "$nowhere"
ended 5 on d1 lvs-agent apply --strict "$nowhere"
warned "no director that is heard has its interface"
ended 5 on d2 lvs-agent apply --strict --json "$taken"
expect_eq "the revision after refusals" "$(status d1 .cluster.revision)" "$revision"
expect_eq "the holder after refusals" "$(holder)" "$first"
expect_eq "the warnings in json" "$(on d1 lvs-agent plan --json "$nowhere" | jq -r '[.warnings[].warning] | join(" ")')" \
  "no-director-has-interface server-is-no-member"

# Without --strict it is done as it is written, and everybody says why the VIP is nowhere: once.
mark
ended 0 on d1 lvs-agent apply "$nowhere"
warned "server http/r3: no member of the cluster is at 10.0.0.99,"
unheld="no node holds VIP group web: d1: no interface eth9; d2: no interface eth9"
says_why() { [ "$(status "$1" '.problems[] | select(startswith("no node holds"))')" = "$unheld" ]; }
expect "a director says why nobody holds the VIP" wait_until 5 says_why d2
expect "a real server says it too" wait_until 5 says_why r1
sleep 20
lines() { tail -n +$((${MARK[$LVS_LAB_LOG/$2.agent.log]} + 1)) "$LVS_LAB_LOG/$2.agent.log" | grep -E "WARN|ERROR" | grep -c "$1"; }
for director in d1 d2; do expect_eq "lines in the log of $director" "$(lines eth9 "$director")" 1; done
# The interface comes, without a carrier at first: it takes no VIP, which is said.
on d2 ip link add eth9 type veth peer name eth8
no_carrier() { [ "$(status "$1" '.problems[] | select(startswith("no node holds"))')" = "no node holds VIP group web: d1: no interface eth9; d2: its interface eth9 is set down" ]; }
expect "an interface that is down takes no VIP, and that is said" wait_until 5 no_carrier r1
on d2 ip link set eth8 up
on d2 ip link set eth9 up
expect "the VIP is held once the interface is up" wait_until 5 holds d2
expect "status says that d1 could not take it over" grep -q "d1 has no eth9, it has .*eth0" <(status r1 '.problems[]')
ended 0 on d1 lvs-agent apply "$LVS_LAB_CLUSTER"
expect "the cluster serves again" wait_until 10 serves
expect "all rules go where that is said" said on d1 lvs-agent apply --prune "$SCRATCH/empty.toml"
expect_eq "the VIP groups that are left" "$(status d1 '.vips | length')" 0
