#!/bin/bash
# A capture of a cluster that forms, takes rules and fails over: no rule, name, address or key can be read in it.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

# Names long enough that chance does not write them.
for pair in d1:director-alpha d2:director-omega r1:webserver-alpha r2:webserver-omega r3:webserver-later; do renamed "${pair%:*}" "${pair#*:}"; done
sed -e 's/"web"/"shopfront-vip"/; s/"http"$/"checkout-service"/; s|path = "/"|path = "/health-of-the-shop"|' \
  -e '/^type = /s/"checkout-service"/"http"/; s/^name = "r\([123]\)"/name = "pool-member-\1"/' "$LVS_LAB_CLUSTER" >"$SCRATCH/shop.toml"
grep -c "shopfront-vip\|checkout-service\|health-of-the-shop\|pool-member" "$SCRATCH/shop.toml"

start capture capture "$SCRATCH/all.pcap" --for 45
sleep 1
form-cluster --hosts d1,d2,r1,r2 "$SCRATCH/shop.toml" || give_up "no cluster"
late=$(token d1)
start-agent r3
wait_until 5 answers r3
expect "r3 joins" on r3 lvs-agent join 10.0.0.11 --token "$late"
on d1 lvs-agent apply "$SCRATCH/shop.toml" >"$SCRATCH/applied"
on d1 lvs-agent status >"$SCRATCH/status"
power-off "$(holder)"
expect "the other director takes over" wait_until 5 held
join_line capture
expect_eq frames_lost "$(value lost "$LINE")" 0

# Keys: the middle of each private key on the disks, as its file has it (PKCS#8 of Ed25519 ends in the 32 bytes of the seed).
hex=()
for disk in d1 d2 r1 r2 r3; do
  for file in /run/lvs-lab/disk/$disk/var/*.key; do
    key=$(sed '/^-/d' "$file" | base64 -d | tail -c +17 | head -c 32 | od -An -v -tx1 | tr -d ' \n')
    if [ ${#key} = 64 ]; then hex+=(--hex "$key"); fi
  done
done
expect_ge private_keys_looked_for $((${#hex[@]} / 2)) 6
start eavesdrop eavesdrop "$SCRATCH/all.pcap" "${hex[@]}" director-alpha director-omega webserver-alpha webserver-omega webserver-later \
  shopfront-vip checkout-service health-of-the-shop pool-member 10.0.0.100 10.0.0.11 10.0.0.12 10.0.0.21 10.0.0.22 10.0.0.23 \
  real-server eth0 "$late" "${late:5:24}"
join_line eavesdrop
expect_ge datagrams "$(value datagrams "$LINE")" 500
expect_ge connections "$(value connections "$LINE")" 3
expect_eq readable "$(value readable "$LINE")" 0
# The same look finds what is there to be found: health checks are HTTP.
start control eavesdrop "$SCRATCH/all.pcap" --ports 80 health-of-the-shop
join_line control
expect_eq readable_on_port_80 "$(value readable "$LINE")" 1
