# Sourced by scenarios that run the agent as a service: a real systemd on a host, as a machine's boot would start it.
# shellcheck shell=bash

unit=$(dirname "${BASH_SOURCE[0]}")/../../../scripts/debian/lvs-agent.service
agent=$(readlink -f "$(command -v lvs-agent)")
init=/lib/systemd/systemd
[ -x $init ] || give_up "systemd is not installed"

# What a machine's boot would do, in process and mount namespaces of the host's own, but for all else that a boot starts. There is no journal:
# standard output goes to a file. The first argument is the unit that the boot ends with, if it starts one.
cat >"$SCRATCH/boot" <<BOOT
#!/bin/bash
mount -t proc proc /proc
mkdir -p /mnt "$SCRATCH/kept" && cp "$agent" "$(readlink -f "$unit")" "$SCRATCH/kept"
mount --bind "$SCRATCH/kept" /mnt
mount -t tmpfs run /run && mount -t tmpfs tmp /tmp
mkdir -p /run/systemd/system/lvs-agent.service.d /run/lvs
cp /mnt/lvs-agent /run/lvs/ && cp /mnt/lvs-agent.service /run/systemd/system/
umount /mnt
mount -t cgroup2 cgroup /sys/fs/cgroup
cat >/run/systemd/system/lvs-agent.service.d/lab.conf <<CONF
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart=/run/lvs/lvs-agent run
StandardOutput=append:/run/lvs/log
StandardError=inherit
CONF
printf '[Unit]\nDefaultDependencies=no\n%s\n' "\${1:+Wants=\$1}" >/run/systemd/system/lab.target
printf '[Unit]\nDefaultDependencies=no\n' >/run/systemd/system/network-online.target
container=lab exec $init --system --unit=lab.target --log-target=console --show-status=no
BOOT
chmod +x "$SCRATCH/boot"

declare -A INIT=()
# boot HOST [UNIT]: in place of the host's agent, if it runs. inside HOST CMD…: where that systemd is.
boot() {
  stop-agent "$1"
  on "$1" unshare --pid --mount --fork "$SCRATCH/boot" "${2:-}" >"$SCRATCH/systemd.$1.log" 2>&1 </dev/null &
  wait_until 20 booted "$1" "$!"
}
# A systemd that runs does not answer systemctl yet: the boot is over when its target is reached.
booted() { INIT[$1]=$(pgrep -P "$(pgrep -P "$2" | head -1 || echo 0)" -x systemd || pgrep -P "$2" -x systemd) && [ -n "${INIT[$1]}" ] && reached "$1"; }
reached() { [ "$(inside "$1" systemctl show lab.target -p ActiveState --value --no-pager 2>/dev/null)" = active ]; }
inside() { nsenter -t "${INIT[$1]}" -m -p -n -u "${@:2}"; }
property() { inside "$1" systemctl show lvs-agent -p "$2" --value --no-pager; }
active() { [ "$(property "$1" ActiveState)" = active ]; }
says() { property "$1" StatusText | grep -q -- "$2"; }
