#!/bin/bash
# configure takes each host's address from what its kernel says, never a VIP, and init or join is next: with systemd, which then runs the agent, and without.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/systemd.sh"

template=$(dirname "$0")/../../scripts/debian/agent.toml
file=/etc/lvs-agent/agent.toml
configured() { on "$1" lvs-agent configure --node "$@"; } # HOST OPTION…
has_line() { on "$1" grep -qxF -- "$2" $file; }
status_of() { # CMD…: its exit status.
  local status=0
  said "$@" || status=$?
  echo "$status" >"$SCRATCH/status"
  [ $status = 0 ] || return 1
}
ended_with() { expect_eq "exit status of $1" "$(cat "$SCRATCH/status")" "$2"; }
words() { expect "and says '$1'" grep -qF -- "$1" "$SCRATCH/said"; }
value_of() { jq -r ".$1" <<<"$2"; }

# As after the installation of the package: a file that says nothing.
for host in d1 d2 r1 r2 r3; do on "$host" sh -c "cat >$file" <"$template"; done
expect "version needs no agent.toml" said on d1 lvs-agent version
refused "an agent whose file says nothing" "$file does not say yet what this node is: run .lvs-agent configure --roles director., or edit it" on d1 lvs-agent run
status_of on d1 lvs-agent run
ended_with run 2
on d2 rm $file
refused "an agent without a file" "$file is not there, so this node does not know what it is: run .lvs-agent configure" on d2 lvs-agent run

# d1: systemd, a default route, another address of the same subnet, another interface with a worse route.
expect "systemd runs on d1" boot d1
on d1 ip addr add 10.0.0.211/24 dev eth0
on d1 ip link add eth1 type veth peer name eth1p
on d1 ip addr add 192.168.77.1/24 dev eth1
on d1 ip link set eth1p up && on d1 ip link set eth1 up
on d1 ip route add default via 10.0.0.10 dev eth0 metric 100
on d1 ip route add default via 192.168.77.254 dev eth1 metric 200
d1() { inside d1 /run/lvs/lvs-agent "$@"; }
expect "the unit does not run an agent whose file says nothing" not said inside d1 systemctl start lvs-agent
failed_state() { [ "$(property d1 ActiveState)" = failed ]; }
expect "the service has failed, and is not tried again" wait_until 5 failed_state
expect "its status says what is missing ($(property d1 StatusText))" says d1 'does not say yet what this node is: run `lvs-agent configure'
sleep 5
expect_eq "restarts" "$(property d1 NRestarts)" 0
expect "configure on d1" said d1 configure --roles director --node d1
words "address 10.0.0.11, of the default route on eth0"
words "wrote $file"
words "the service lvs-agent is enabled and was started"
expect "the service runs" active d1
expect_eq "it is enabled" "$(property d1 UnitFileState)" enabled
expect_eq "owner and mode of the file" "$(on d1 stat -c '%U %a' $file)" "root 644"
founded=$(d1 init --json) || give_up "init fails right after configure"
token=$(jq -r .token.token <<<"$founded")

# d2: no default route, one address of its own; a VIP of somebody is on lo. No systemd.
on d2 ip addr add "$VIP/32" dev lo
expect "configure on d2" said configured d2 --roles director --interface eth0 --seeds 10.0.0.11
words "address 10.0.0.12, the first one of eth0"
words "systemd does not run here: have your service manager run \`lvs-agent run\`"
expect "the interface is a director's" has_line d2 'interface = "eth0"'
on d2 ip addr del "$VIP/32" dev lo
# r1: several addresses, no default route: the candidates are said, with the command for each.
on r1 ip link add eth1 type veth peer name eth1p
on r1 ip addr add 192.168.78.1/24 dev eth1
status_of configured r1 --roles real-server
ended_with "configure on r1" 2
words "this machine has no default route, but several addresses"
words "lvs-agent configure --roles real-server --address 10.0.0.21   # on eth0"
words "lvs-agent configure --roles real-server --address 192.168.78.1   # on eth1"
expect "nothing was written" on r1 cmp -s - $file <"$template"
expect "configure on r1 with one of them" said configured r1 --roles real-server --address 10.0.0.21
# r2: the source that the default route names.
on r2 ip addr add 10.0.0.222/24 dev eth0
on r2 ip route add default via 10.0.0.10 dev eth0 src 10.0.0.22
on r2 ip route add default dev eth0 metric 5000 src 10.0.0.222
expect "configure on r2" said configured r2 --roles real-server
words "address 10.0.0.22, of the default route on eth0"
# r3: an address that is not there yet.
on r3 ip addr del 10.0.0.23/24 dev eth0
expect "configure on r3" said configured r3 --roles real-server --address 10.0.0.23
words "warning: 10.0.0.23 is on no interface of this machine now: the agent waits until it is"
status_of configured r3 --roles real-server --address 127.0.0.1
ended_with "configure with an address of lo" 2
on r3 ip addr add 10.0.0.23/24 dev eth0

start-agent d2 r1 r2 r3
for host in d2 r1 r2 r3; do
  expect "$host answers" wait_until 10 answers "$host"
  seed=10.0.0.11
  [ $host != d2 ] || seed=
  expect "$host joins" said on $host lvs-agent join $seed --token "$token"
done
d1 apply - <"$LVS_LAB_CLUSTER" || give_up "no rules"
expect "the cluster serves" wait_until 30 serves

# Again, with the VIP on the machine: nothing changes, and no VIP moves.
holder=$(holder)
for host in d2 r2; do
  before=$(on $host cat $file)
  json=$(configured $host --roles "$([ $host = d2 ] && echo director || echo real-server)" --json) || verdict no "configure on $host again"
  case $host in d2) wanted="10.0.0.12:7400 only-address" ;; r2) wanted="10.0.0.22:7400 default-route" ;; esac
  expect_eq "what $host takes" "$(value_of address "$json") $(value_of taken_from "$json")" "$wanted"
  expect_eq "whether it was written on $host" "$(value_of written "$json")" false
  expect_eq "the file of $host" "$(on $host cat $file)" "$before"
done
refused "the VIP as an address" "$VIP on .* is a VIP" configured "$holder" --roles director --address "$VIP"
guard=$(property d1 MainPID)
expect_eq "the service of d1, again" "$(d1 configure --roles director --node d1 --json | jq -r .service)" running
expect_eq "its guard" "$(property d1 MainPID)" "$guard"
expect_eq "the holder" "$(holder)" "$holder"

# A change restarts it. The member tells the cluster.
json=$(d1 configure --roles director --node d1 --zone z1 --json)
expect_eq "the service of d1, with a zone" "$(value_of service "$json")" restarted
expect_eq "the cluster that it is in" "$(value_of member_of "$json")" "$(jq -r .cluster_id <<<"$founded")"
expect "the former file is kept" on d1 test -s "$(value_of backup "$json")"
in_zone() { [ "$(status d2 '.nodes[] | select(.name == "d1") | .zone')" = z1 ]; }
expect "the others hear of the zone" wait_until 20 in_zone
status_of d1 configure --roles director --node d9
ended_with "configure with another name" 5
words "this node is d1 in its cluster"

# Broken by hand: a restart fails at once and says why; configure leaves the file alone unless it is forced.
setting d1 'colour = 1'
expect "a restart with a broken file fails" not said inside d1 systemctl restart lvs-agent
expect "and the status says where ($(property d1 StatusText))" says d1 'agent.toml has 1 problem: /etc/lvs-agent/agent.toml:[0-9]*:1: agent.toml has no key `colour`'
status_of d1 configure --roles director --node d1 --zone z1
ended_with "configure of an edited file" 5
words "was edited by hand and is left as it is"
expect "with force" said d1 configure --roles director --node d1 --zone z1 --force
words "the service lvs-agent is enabled and was started"
expect "d1 is a member again" wait_until 20 says d1 ' of cluster '
expect "the cluster serves still" wait_until 20 serves
expect "no panic" no_panic
inside d1 systemctl stop lvs-agent
[ $BROKEN = 0 ] || { inside d1 tail -n 40 /run/lvs/log; tail -n 20 "$SCRATCH"/systemd.*.log; }
