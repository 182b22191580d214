#!/bin/bash
# The remote API: who has no identity, another cluster's, a revoked one, a node's, a read-only one, an admin's; and what each may do.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

SERVER=10.0.0.11:7443
setting d1 '[api]' "listen = \"$SERVER\""
form-cluster --hosts d1,d2,r1,r2 || give_up "no cluster"
has_roles r3 director && setting r3 '[api]' 'listen = "10.0.0.23:7443"' && start-agent r3
wait_until 5 answers r3
on r3 lvs-agent init >"$SCRATCH/other"

identity() { on "$1" lvs-agent identity create "$2" "$3" --output "$SCRATCH/$4.pem"; }
identity d1 eye --read-only eye || give_up "no read-only identity"
identity d1 ops --admin ops || give_up "no admin identity"
identity d1 gone --admin gone && on d1 lvs-agent identity revoke gone
identity r3 ops --admin foreign || give_up "no identity of the other cluster"
on r1 sh -c 'cat /var/lib/lvs-agent/node.key /var/lib/lvs-agent/node.crt /var/lib/lvs-agent/trusted.crt' >"$SCRATCH/node.pem"
expect_eq "mode of an identity's file" "$(stat -c %a "$SCRATCH/ops.pem")" 600

remote() { on c lvs-agent --server "$SERVER" --cert "$SCRATCH/$1.pem" "${@:2}"; }
traffic 120
sed 's/^weight = .*/weight = 3/' "$LVS_LAB_CLUSTER" >"$SCRATCH/three.toml"
revision=$(status d1 .cluster.revision)
mark

expect "read-only: status" remote eye status
expect "read-only: export" remote eye export --output "$SCRATCH/export.toml"
expect "read-only: plan" remote eye plan "$SCRATCH/three.toml"
refused "read-only: apply" "read-only|admin" remote eye apply "$SCRATCH/three.toml"
refused "read-only: token create" "read-only|admin" remote eye token create
refused "read-only: node remove" "read-only|admin" remote eye node remove r2 --yes
refused "a node's certificate: apply" "identity|admin|read-only|node" remote node apply "$SCRATCH/three.toml"
refused "another cluster's identity: status" "certificate|ca|cluster" remote foreign status
refused "a revoked identity: status" "revoked|identity|certificate" remote gone status
expect_eq "HTTP status without a certificate" "$(on c curl -sk -m 5 -o "$SCRATCH/body" -w '%{http_code}' "https://$SERVER/v1/status")" 401
cat "$SCRATCH/body" && echo
expect "the answer says how to get one" grep -q "identity create" "$SCRATCH/body"
expect_eq "the revision after all refusals" "$(status d1 .cluster.revision)" "$revision"

expect "admin: apply" said remote ops apply "$SCRATCH/three.toml"
weighs_three() { on "$1" ipvsadm -Ln | awk '$1 == "->" && $2 ~ /^10/ && $4 != 3 { other = 1 } END { exit other }'; }
expect "the rules are in the kernels" wait_until 5 both weighs_three
expect "who changed what is logged" logged 'ops.*10\.0\.0\.10|10\.0\.0\.10.*ops' d1
expect "admin: token create" remote ops token create --json
refused "admin: leave, which is the node's own" "node|itself" remote ops leave
expect_eq "the members" "$(members d1)" "d1 d2 r1 r2"
not_open() { ! on c timeout 2 bash -c "exec 3<>/dev/tcp/$1/7443" 2>/dev/null; }
expect "nothing listens where it is not configured" not_open 10.0.0.12
expect "nobody panicked" no_panic
undisturbed
