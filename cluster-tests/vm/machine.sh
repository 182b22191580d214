#!/bin/bash
# One machine from an empty Debian to a purge: what a person does, what the agent says, what is left.
. "$(dirname "$0")/lib.sh"
DIRECTORS=d1

# What a purge must leave as it was: files, addresses, settings, IPVS, users, units. Without what Debian itself writes at any installation.
picture() {
  on d1 sh -c '
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o -path /var/tmp -o -path "/root*" -o -path "/home*" \) -prune -o -type f -printf "%p %m %s\n" -o -type l -printf "%p %l\n" -o -type d -printf "%p/ %m\n" | grep -v -e "^/etc/\(passwd\|group\|shadow\|gshadow\)-* " -e "^/etc/\.pwd\.lock" -e /lost+found -e "^/etc/ld.so.cache" | sort
    ip -o addr show | sed "s/valid_lft.*//" | sort
    sysctl -a 2>/dev/null | grep -E "^net\.ipv4\.(conf\.(all|lo|default|e[a-z0-9]*)|vs)\." | sort
    cat /proc/net/ip_vs
    cut -d: -f1,3 /etc/passwd | sort; cut -d: -f1,3 /etc/group | sort
    systemctl list-unit-files --no-legend --plain | grep lvs
    ls -d /run/lvs* 2>/dev/null; true'
}

lan d1
disk d1
VM_CPUS=2 VM_MEMORY=1536 power_on d1
step "The machine boots."
up d1
called d1
figure boot_ms "$WAITED"
# The module is loaded before the picture: it brings settings of its own, which stay as long as it does.
on d1 modprobe ip_vs
copy_to d1 "$VM_DEB"
deb=/var/tmp/$(basename "$VM_DEB")
picture >"$VM_WORK/before"

step "The package is installed. It starts nothing."
expect "the package is installed" said on d1 env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$deb"
expect_eq "the service" "$(on d1 systemctl is-enabled lvs-agent; on d1 systemctl is-active lvs-agent)" $'disabled\ninactive'
refused "a node that nobody configured" "lvs-agent configure" on d1 lvs-agent run
on d1 systemctl start lvs-agent 2>/dev/null
expect_eq "the service, started unconfigured, is tried again" "$(on d1 systemctl show lvs-agent -p NRestarts --value)" 0
expect "its status says what to do" on d1 sh -c 'journalctl -u lvs-agent -o cat --no-pager | grep -q "lvs-agent configure"'
on d1 systemctl reset-failed lvs-agent
# That was meant to be logged as an error; what comes from here on is not.
now=$(on d1 date +%s)

step "configure, init: two commands."
expect "configure" said on d1 lvs-agent configure --roles director
expect_eq "the service" "$(on d1 systemctl is-enabled lvs-agent; on d1 systemctl is-active lvs-agent)" $'enabled\nactive'
expect_eq "its name" "$(status d1 .self)" d1
expect_eq "the service that ends first when the machine goes down" "$(on d1 systemctl is-active lvs-agent-withdraw)" active
expect "init" said on d1 lvs-agent init
interface=$(on d1 ip -o route get $NETWORK.1 | sed -n 's/.* dev \([^ ]*\).*/\1/p')
sed -e "s/10\.0\.0\.100/$VIP/; s/^interface = .*/interface = \"$interface\"/" -e "s/10\.0\.0\./$NETWORK./" "$VM_ROOT/cluster-tests/cluster.toml" >"$VM_WORK/cluster.toml"
copy_to d1 "$VM_WORK/cluster.toml"
expect "apply" said on d1 lvs-agent apply /var/tmp/cluster.toml
expect "d1 holds the VIP on $interface" wait_until $((10 * SLOW)) holds d1
expect "its kernel has the service" on d1 grep -q "^TCP" /proc/net/ip_vs
said on d1 lvs-agent status
exposure=$(on d1 systemd-analyze security lvs-agent --no-pager | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
figure exposure "$exposure"
expect "its exposure is at most 3.0" awk -v exposure="$exposure" 'BEGIN { exit !(exposure != "" && exposure <= 3.0) }'
sleep 5
warnings=$(on d1 journalctl -q -u lvs-agent -o cat --no-pager --since "@$now" | grep -E '^[^ ]* *(WARN|ERROR) |\b(WARN|ERROR)\b' )
expect_eq "warnings in the journal" "$warnings" ""
expect "man pages are there" on d1 sh -c 'ls /usr/share/man/man8/lvs-agent.8.gz /usr/share/man/man5/agent.toml.5.gz /usr/share/man/man5/cluster.toml.5.gz || grep -rq path-exclude=/usr/share/man /etc/dpkg'

step "systemd-networkd is restarted; what it did not set it may remove."
on d1 systemctl restart systemd-networkd
expect "the VIP is back, or was never gone" wait_until $((5 * SLOW)) holds d1
figure networkd_restart_ms "$WAITED"

step "The machine is rebooted."
expect "it is back" reboot_of d1
expect "d1 holds the VIP again, by itself" wait_until $((30 * SLOW)) holds d1
figure holds_after_reboot_ms "$WAITED"
journal d1 >"$VM_WORK/journal-after-reboot"
expect_eq "warnings in the journal after the reboot" "$(cat "$VM_WORK/journal-after-reboot")" ""

step "The demo, on this machine's own ip_vs."
on d1 systemctl stop lvs-agent
tar -C "$VM_ROOT" -cz Cargo.toml scripts cluster-tests -C "$(dirname "$VM_LAB")" lvs-lab lvs-agent | on d1 sh -c 'mkdir -p /opt/lvs-agent && tar -C /opt/lvs-agent -xz'
for run in $(seq "$VM_DEMOS"); do
  if on d1 env LVS_LAB_BIN=/opt/lvs-agent LVS_LAB_KERNEL=none /opt/lvs-agent/scripts/demo --time real --json >"$VM_WORK/demo.$run" 2>&1; then held=yes; else held=no; fi
  tail -n 12 "$VM_WORK/demo.$run"
  verdict $held "the demo holds, run $run of $VM_DEMOS"
done
on d1 rm -rf /opt/lvs-agent
on d1 systemctl start lvs-agent
expect "d1 holds the VIP again" wait_until $((30 * SLOW)) holds d1

step "The package is removed: VIPs are given back, the node's identity stays."
expect "the package is removed" said on d1 apt-get remove -y -q lvs-agent
expect_eq "holders" "$(holder)" ""
expect_eq "IPVS services" "$(on d1 grep -c ^TCP /proc/net/ip_vs)" 0
expect "its identity is kept" on d1 test -s /var/lib/lvs-agent/identity.json
expect "it is installed again" said on d1 env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$deb"
on d1 systemctl start lvs-agent
expect "it is the same node, and holds the VIP" wait_until $((30 * SLOW)) holds d1

step "The package is purged: nothing is left."
expect "the package is purged" said on d1 apt-get purge -y -q lvs-agent
picture >"$VM_WORK/after"
diff "$VM_WORK/before" "$VM_WORK/after" >"$VM_WORK/left"
expect_eq "what a purge leaves" "$(cat "$VM_WORK/left")" ""

step "The same without a package: scripts/install, and its --purge."
tar -C "$VM_ROOT" -cz Cargo.toml scripts $(cd "$VM_ROOT" && ls -d target/package/pages 2>/dev/null) -C "$(dirname "$VM_LAB")" lvs-agent | on d1 sh -c 'mkdir -p /opt/lvs-agent/bin && tar -C /opt/lvs-agent -xz && cd /opt/lvs-agent && mv lvs-agent bin/ && if [ -d target ]; then mv target/package/pages . && rm -r target; fi'
expect "it is installed" said on d1 /opt/lvs-agent/scripts/install --program /opt/lvs-agent/bin/lvs-agent
expect_eq "the service" "$(on d1 systemctl is-enabled lvs-agent; on d1 systemctl is-active lvs-agent)" $'disabled\ninactive'
expect "configure" said on d1 lvs-agent configure --roles director
expect "init" said on d1 lvs-agent init
expect "apply" said on d1 lvs-agent apply /var/tmp/cluster.toml
expect "d1 holds the VIP on $interface" wait_until $((10 * SLOW)) holds d1
expect "it is installed again, while it runs, and alone refuses to be replaced" not said on d1 /opt/lvs-agent/scripts/install --program /opt/lvs-agent/bin/lvs-agent
expect_eq "holder" "$(holder)" d1
expect "it is purged" said on d1 /opt/lvs-agent/scripts/install --purge
on d1 rm -rf /opt/lvs-agent
picture >"$VM_WORK/after"
diff "$VM_WORK/before" "$VM_WORK/after" >"$VM_WORK/left"
expect_eq "what scripts/install --purge leaves" "$(cat "$VM_WORK/left")" ""
