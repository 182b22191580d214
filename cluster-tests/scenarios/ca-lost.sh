#!/bin/bash
# A lost CA key is mended by ca rotate; so is a rotation whose director dies. Who was off meanwhile comes back with one command; leave --force asks nobody.
# lab: --timeout 900 -- two rotations of the CA, each with a minute for those that were away
. "$(dirname "$0")/lib.sh"

security() { status "$1" ".cluster.security | $2"; }
settled() { [ "$(security "$1" '.other_authorities | length')" = 0 ] && [ "$(security "$1" .rotating)" = null ]; }
problem() { on "$1" lvs-agent status --json 2>/dev/null | jq -e --arg words "$2" '.problems | any(test($words))' >"$SCRATCH/problem"; }
in_service() { hears d1 r3 && both sends_to r3; }

# r3 is off while both directors lose the CA's key and an operator does what the status says.
number=$(on r3 jq -r .node_id /var/lib/lvs-agent/identity.json)
power-off r3
old=$(security d1 .authority)
stop-agent d1 && stop-agent d2
for host in d1 d2; do on $host sh -c 'rm /var/lib/lvs-agent/ca-*.key'; done
start-agent d1 && start-agent d2
expect "the cluster serves without the key" wait_until 30 both sends_to r1
expect "d1 says that the key is lost, and what to do" wait_until 60 problem d1 "ca rotate"
said on d1 lvs-agent ca rotate --timeout 200
expect "ca rotate ends" wait_until 60 settled d2
expect_eq "d1 and d2 have another CA" "$([ "$(security d1 .authority)" != "$old" ] && security d2 .authority)" "$(security d1 .authority)"
expect "keys rotate ends" said on d2 lvs-agent keys rotate --timeout 120

# Nobody trusts r3 any more, nor it anybody. One command brings it back with its data and its number.
power-on r3
wait_until 10 answers r3
expect "r3 says in its status which command helps" wait_until 60 problem r3 "join SEED --token"
on r3 lvs-agent status | tail -n 4
refused "r3: join without a token" "token create" on r3 lvs-agent join 10.0.0.11
refused "r3: leave" "leave --force" on r3 lvs-agent leave
new=$(token d1)
expect "r3: join with a token" said on r3 lvs-agent join 10.0.0.12 --token "$new"
expect "r3 is back in service" wait_until 30 in_service
figure back_after_rotation_ms "$WAITED"
expect_eq "r3's number" "$(on r3 jq -r .node_id /var/lib/lvs-agent/identity.json)" "$number"
expect_eq "uses of the token that are left" "$(on d1 lvs-agent token list --json | jq -r '.[0].uses_left')" 1
no_problems() { [ "$(status r3 '.problems | length')" = 0 ]; }
expect "r3 has no problem any more" wait_until 60 no_problems
stop-agent r3 && start-agent r3
expect "r3 comes back from its disk" wait_until 20 in_service

# A director begins a rotation and is gone before anybody has fetched the key.
cut d2 && expect "d1 loses sight of d2" wait_until 20 not hears d1 d2
began=$(on d1 lvs-agent ca rotate --no-wait 2>&1) || echo "$began"
power-off d1
heal
upcoming() { [ "$(security d2 '.other_authorities | length')" -gt 0 ]; }
if wait_until 20 upcoming; then
  expect "d2 says that the next CA's key is lost" wait_until 60 problem d2 "ca rotate"
  said on d2 lvs-agent ca rotate --no-wait
  replaced() { settled d2 && [ "$(status d2 '.nodes[] | select(.name == "r1") | .certificate_expires_unix_s')" != null ]; }
  expect "the second rotation ends without d1" wait_until 150 replaced
else
  figure rotation_not_begun 1
fi
expect "the cluster takes rules" on d2 lvs-agent apply "$LVS_LAB_CLUSTER"

# Without asking anybody.
expect "r2 leaves by force" said on r2 lvs-agent leave --force
expect "it is told what that does not do" grep -q "node remove r2" "$SCRATCH/said"
expect "the VIP is off lo of r2" wait_until 5 not vip_on_lo r2
expect "no key is left on r2" on r2 sh -c '! ls /var/lib/lvs-agent/*.key'
expect "the cluster still counts r2" knows d2 r2
expect "r2 is removed on a director" on d2 lvs-agent node remove r2 --yes
expect "nobody panicked" no_panic
