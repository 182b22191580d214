#!/bin/bash
# A cluster of certificates from a CA that is not ours: who has one joins without a token, as what it says; other names, roles and CAs stay out; new files are taken up; who is removed stays out until it is allowed back.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

PKI=$SCRATCH/pki SERVER=10.0.0.11:7443
mkdir -m 700 "$PKI"
# As docs/security.md tells it. ca NAME; certificate CA NAME USAGE DAYS WORD… makes NAME.pem and, unless it is there, NAME.key.
ca() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"
  openssl req -x509 -new -key "$PKI/$1.key" -sha256 -days 3650 -subj "/O=Example/CN=Example $1" -out "$PKI/$1.pem"
}
certificate() {
  local ca=$1 name=$2 usage=$3 days=$4 subject=/O=Example word
  shift 4
  for word in "$@"; do subject+=/OU=$word; done
  [ -e "$PKI/$name.key" ] || openssl genpkey -algorithm ED25519 -out "$PKI/$name.key"
  openssl req -new -key "$PKI/$name.key" -subj "$subject/CN=$name" -out "$PKI/$name.csr"
  printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature "extendedKeyUsage=$usage" authorityKeyIdentifier=keyid >"$PKI/ext"
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/$ca.pem" -CAkey "$PKI/$ca.key" -CAcreateserial -sha256 -days "$days" -extfile "$PKI/ext" -out "$PKI/new.pem" 2>/dev/null
  mv "$PKI/new.pem" "$PKI/$name.pem"
}
node() { certificate "$1" "$2" serverAuth,clientAuth 90 "${@:3}"; }
# tls HOST CERTIFICATE CA: what the host's agent.toml says.
tls() { on "$1" sed -i '/^\[tls\]/,$d' /etc/lvs-agent/agent.toml && setting "$1" '[tls]' "certificate = \"$PKI/$2.pem\"" "key = \"$PKI/$2.key\"" "ca = \"$PKI/$3.pem\""; }
starts() { start-agent "$1" && wait_until 10 answers "$1"; }
again() { stop-agent "$1" && starts "$1"; }
joins() { on "$1" lvs-agent join 10.0.0.11; }

ca ours && ca theirs || give_up "openssl makes no CA"
node ours d1 lvs-director && node ours d2 lvs-director
for host in r1 r2; do node ours $host lvs-real-server; done
node theirs r3 lvs-real-server
for host in d1 d2 r1 r2; do tls $host $host ours; done
tls r3 r3 theirs
setting d1 '[api]' "listen = \"$SERVER\""
for host in d1 d2 r1 r2 r3; do starts $host || give_up "the agent of $host does not answer"; done

expect "d1 founds the cluster" said on d1 lvs-agent init
expect "no token is offered" not grep -q lvs1_ "$SCRATCH/said"
for host in d2 r1 r2; do expect "$host joins without a token" said joins $host; done
on d1 lvs-agent apply "$LVS_LAB_CLUSTER" >"$SCRATCH/applied" || give_up "the rules are not taken"
sends_to_two() { sends_to "$1" r1 && sends_to "$1" r2; }
expect "the cluster serves" wait_until 20 both sends_to_two
expect "the VIP has a holder" wait_until 10 held
traffic 300

mark
refused "a node with another CA's certificate" "ca" joins r3
tls r3 r2 ours && again r3
refused "a node with another node's certificate" "certificate" joins r3
node ours r3 lvs-witness
tls r3 r3 ours && again r3
refused "a real server with a witness's certificate" "lvs-|witness" joins r3
certificate ours r3 clientAuth 90 lvs-real-server
again r3
refused "a node whose certificate is no server's" "certificate" joins r3
on r3 sed -i '/^\[tls\]/,$d' /etc/lvs-agent/agent.toml
again r3
refused "a node without a certificate" "tls|certificate" joins r3
expect "the cluster has logged who was turned away" logged '(refused|turned away).*(r3|10\.0\.0\.23)|(r3|10\.0\.0\.23).*(refused|turned away)' d1
expect_eq "the members" "$(members d1)" "d1 d2 r1 r2"
refused "token create" "your own ca" on d1 lvs-agent token create
refused "ca rotate" "your own ca" on d1 lvs-agent ca rotate
refused "identity create" "your own ca" on d1 lvs-agent identity create ops --admin --output "$SCRATCH/ops.pem"

node ours r3 lvs-real-server
tls r3 r3 ours && again r3
expect "r3 joins with its own certificate" said joins r3
expect "both directors send to r3" wait_until 20 both sends_to r3

# The files are read again while the agent runs: a renewed certificate, then one from a CA that is trusted from now on.
pids_before=$(pids d1 d2 r1 r2 r3)
expires() { status d1 ".nodes[] | select(.name == \"$1\") | .certificate_expires_unix_s"; }
before=$(expires r1)
certificate ours r1 serverAuth,clientAuth 365 lvs-real-server
later() { local now && now=$(expires r1) && [ "$now" -gt "$before" ] 2>/dev/null; }
expect "r1's renewed certificate is taken up" wait_until 75 later
figure certificate_taken_up_ms "$WAITED"
reload() { local host && for host in "$@"; do kill -HUP "$(agent-pids "$host" | awk '$1 == "guard" { print $2 }')"; done; }
cat "$PKI/theirs.pem" >>"$PKI/ours.pem"
reload d1 d2 r1 r2 r3
sleep 3
before=$(expires r2)
certificate theirs r2 serverAuth,clientAuth 365 lvs-real-server
reload r2
later() { local now && now=$(expires r2) && [ "$now" -gt "$before" ] 2>/dev/null; }
expect "r2's certificate of the other CA is taken up at SIGHUP" wait_until 5 later
sleep 10
hears_all() { [ "$(unheard d1)$(unheard d2)" = "" ]; }
expect "everybody is heard with two CAs" wait_until 5 hears_all
expect_eq "guards and workers" "$(pids d1 d2 r1 r2 r3)" "$pids_before"
undisturbed

certificate ours eye clientAuth 90 lvs-read-only && certificate ours ops clientAuth 90 lvs-admin
remote() { on c lvs-agent --server "$SERVER" --cert "$PKI/$1.pem" --key "$PKI/$1.key" --ca "$PKI/ours.pem" "${@:2}"; }
expect "read-only: status" remote eye status
refused "read-only: apply" "read-only|admin" remote eye apply "$LVS_LAB_CLUSTER"
expect "admin: apply" said remote ops apply "$LVS_LAB_CLUSTER"
mark
expect "admin: node remove" said remote ops node remove r3 --yes
# The director that was asked shows it at once, the other one when it has heard of it.
expect_eq "the members, as d1 has them" "$(members d1)" "d1 d2 r1 r2"
is_gone() { [ "$(members d2)" = "d1 d2 r1 r2" ]; }
expect "d2 has the same members" wait_until 5 is_gone
not_sent() { not sends_to "$1" r3; }
expect "no director sends to r3, whose certificate is good" wait_until 5 both not_sent
refused "rename-roles" "certificate" on d1 lvs-agent node rename-roles r2 --roles witness

# Removed is removed, whatever the certificate is worth: until an administrator says otherwise.
told() { on r3 lvs-agent status --json 2>/dev/null | jq -e '.problems | any(test("node allow r3"))' >"$SCRATCH/problem"; }
expect "r3 says in its status that it was removed, and what lets it in again" wait_until 20 told
expect "r3 leaves, as it is told to" said on r3 lvs-agent leave
refused "r3 with the certificate that it had" "removed.*node allow r3" joins r3
node ours r3 lvs-real-server && again r3
refused "r3 with a new certificate" "node allow r3" joins r3
expect_eq "the members" "$(members d2)" "d1 d2 r1 r2"
expect_eq "who is kept out" "$(status d2 '.cluster.security.barred | join(" ")')" r3
refused "node allow by a read-only identity" "read-only|admin" remote eye node allow r3
expect "admin: node allow" said remote ops node allow r3
refused "a second node allow" "not barred" on d1 lvs-agent node allow r3
expect "r3 joins again" said joins r3
expect "both directors send to r3 again" wait_until 20 both sends_to r3
expect "no private key is in a log" not grep -l "PRIVATE KEY" "$LVS_LAB_LOG"/*.agent.log
expect "nobody panicked" no_panic
