# Sourced by the stories of scripts/vm-test: virtual machines on one LAN, in a network namespace of their own.
# shellcheck shell=bash
#
# scripts/vm-test gives $VM_WORK (scratch folder), $VM_IMAGE (disk image), $VM_ACCEL (kvm, tcg), $VM_KEY (ssh key), $VM_DEB and $VM_DEB_NEXT (packages),
# $VM_CPUS. The story runs in the LAN's namespace; this machine is 10.77.0.1 there, and the client. Figures and expectations are those of the lab's scenarios.
# shellcheck source=../scenarios/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scenarios/lib.sh"

NETWORK=10.77.0
VIP=$NETWORK.100
declare -A QEMU=()
now_ms BEGIN
step() { local now && now_ms now && printf '\n[%4d s] %s\n' $(((now - BEGIN) / 1000)) "$*"; }

# What an emulated machine does takes so many times as long.
SLOW=$(if [ "$VM_ACCEL" = tcg ]; then echo 10; else echo 1; fi)

# place NAME: its address, which the DHCP server gives to its MAC. c is this machine.
place() { case $1 in c) echo $NETWORK.1 ;; d*) echo "$NETWORK.$((10 + ${1#d}))" ;; r*) echo "$NETWORK.$((20 + ${1#r}))" ;; *) return 1 ;; esac; }
mac() { printf '52:54:00:77:00:%02x' "$(place "$1" | cut -d . -f 4)"; }

# lan NAME…: the LAN's bridge, and a DHCP server that knows these machines.
lan() {
  local name hosts=()
  ip link set lo up
  ip link add br0 type bridge && ip addr add $NETWORK.1/24 dev br0 && ip link set br0 up
  for name in "$@"; do hosts+=("--dhcp-host=$(mac "$name"),$(place "$name"),$name"); done
  dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --port=0 --interface=br0 --bind-interfaces --dhcp-authoritative --log-facility="$VM_WORK/dnsmasq.log" \
    --dhcp-leasefile="$VM_WORK/leases" --dhcp-range=$NETWORK.11,static,1h --dhcp-option=option:router,$NETWORK.1 "${hosts[@]}" &
  DNSMASQ=$!
}

# disk NAME: a fresh disk for a machine.
disk() { qemu-img create -q -f qcow2 -F qcow2 -b "$VM_IMAGE" "$VM_WORK/$1.qcow2"; }

# power_on NAME [QEMU OPTION…]: starts the machine with the disk that it has.
power_on() {
  local name=$1
  shift
  ip link show "tap-$name" >/dev/null 2>&1 || { ip tuntap add "tap-$name" mode tap && ip link set "tap-$name" master br0 up; }
  qemu-system-x86_64 -name "$name" -machine pc -accel "$VM_ACCEL" -cpu "$(if [ "$VM_ACCEL" = kvm ]; then echo host; else echo max; fi)" -smp "${VM_CPUS:-1}" \
    -m "${VM_MEMORY:-512}" -display none -monitor none -serial "file:$VM_WORK/$name.console" -no-user-config \
    -device virtio-rng-pci -drive "file=$VM_WORK/$name.qcow2,if=virtio,format=qcow2,cache=unsafe" \
    -netdev "tap,id=lan,ifname=tap-$name,script=no,downscript=no" -device "virtio-net-pci,netdev=lan,mac=$(mac "$name")" "$@" \
    >"$VM_WORK/$name.qemu" 2>&1 &
  QEMU[$name]=$!
}
# power_cut NAME: gone at once.
power_cut() { kill -9 "${QEMU[$1]}" && wait "${QEMU[$1]}" 2>/dev/null; unset "QEMU[$1]"; }

SSH=(-F /dev/null -i "$VM_KEY" -l vagrant -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 -o ServerAliveInterval=5
  -o ServerAliveCountMax=6 -o ControlMaster=auto -o "ControlPath=$VM_WORK/ssh-%h" -o ControlPersist=600)
# on NAME CMD…: as root.
on() {
  local name=$1
  shift
  if [ "$name" = c ]; then "$@"; else ssh "${SSH[@]}" "$(place "$name")" "sudo -n -- $(printf '%q ' "$@")"; fi
}
copy_to() { # NAME FILE: into /var/tmp, which survives a reboot
  tar -C "$(dirname "$2")" -c "$(basename "$2")" | on "$1" tar -C /var/tmp -x --no-same-owner
}

reached() { ssh "${SSH[@]}" "$(place "$1")" true 2>/dev/null; }
boot_id() { on "$1" cat /proc/sys/kernel/random/boot_id; }
# is_up NAME [BOOT]: it can be logged in to, and has booted again since BOOT.
is_up() { reached "$1" && [ "$(boot_id "$1")" != "${2:-}" ]; }
up() { # NAME… [BOOT of the one machine]
  local name
  for name in "$@"; do POLL=1 wait_until $((90 * SLOW)) is_up "$name" || give_up "$name does not boot: $(tail -c 300 "$VM_WORK/$name.console")"; done
}
# called NAME…: each machine has its name, as its installation would have given it.
called() {
  local name
  for name in "$@"; do on "$name" sh -c "echo $name >/etc/hostname && hostname $name && sed -i 's/^127.0.1.1 .*/127.0.1.1 $name/' /etc/hosts"; done
}
# A connection that lived through the machine's end is of no use.
forget() { ssh "${SSH[@]}" -O exit "$(place "$1")" 2>/dev/null || true; }

reboot_of() { # NAME: in order, and until it can be logged in to again
  local boot
  boot=$(boot_id "$1")
  on "$1" systemctl reboot 2>/dev/null
  forget "$1"
  POLL=1 wait_until $((120 * SLOW)) is_up "$1" "$boot"
}

# What scenarios ask of a host. There, `holder` is a verb of the lab.
holder() {
  local name
  for name in $DIRECTORS; do
    if on "$name" ip -o addr show 2>/dev/null | grep -v ': lo ' | grep -q " $VIP/"; then echo "$name"; fi
  done
}
status() { on "$1" lvs-agent status --json 2>/dev/null | jq -r "$2"; }
hears_all() { [ "$(status "$1" '[.nodes[] | select(.reachable)] | length')" = "$2" ]; }
pool() { status "$1" '[.services[].servers[] | select(.state == "in") | .name] | sort | join(" ")'; }
serves() { curl -s -o "$SCRATCH/page" -m $((2 + SLOW / 5)) "http://$VIP/"; }

# journal NAME: what the agent's journal has of warnings and worse, since this boot.
journal() { on "$1" journalctl -q -b -u lvs-agent -o cat --no-pager | grep -E ' (WARN|ERROR) ' || on "$1" journalctl -q -b -u lvs-agent -p warning -o cat --no-pager; }

down() {
  local name
  for name in "${!QEMU[@]}"; do kill -9 "${QEMU[$name]}" 2>/dev/null; done
  kill "$DNSMASQ" 2>/dev/null
  wait 2>/dev/null
}
trap 'status=$?; trap - EXIT; down; (exit $status); finish' EXIT
