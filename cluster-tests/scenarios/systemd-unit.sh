#!/bin/bash
# The unit under a real systemd, on a director and on a real server: the node serves, has no more rights than it should, and a guard that hangs is started again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib/systemd.sh"

expect "the cluster serves at first" wait_until 20 serves
# d1 runs scripts; this one tells what it may do by failing.
setting d1 '[scripts]' 'user = "nobody"'
on d1 sh -c 'chmod 755 /etc/lvs-agent && mkdir -p /etc/lvs-agent/checks && cat >/etc/lvs-agent/checks/tell && chmod 755 /etc/lvs-agent/checks/tell' <<'TELL'
#!/bin/sh
echo $(id -u) $(sed -n 's/^\(CapEff\|NoNewPrivs\|Seccomp\):\t//p' /proc/self/status) $(cat /proc/self/oom_score_adj) $(ulimit -l) $(ulimit -r)
exit 1
TELL
for host in d1 r1; do
  expect "systemd runs on $host" boot $host lvs-agent.service
  expect "lvs-agent is active on $host" wait_until 30 active $host
  active $host || give_up "it is not: $(inside $host systemctl status lvs-agent --no-pager; inside $host tail -n 20 /run/lvs/log)"
  expect "its status says that it is in the cluster ($(property $host StatusText))" wait_until 20 says $host ' of cluster '
done

# What the agent has done before it ran in the unit proves nothing: it is undone by hand.
on r1 bash -c 'echo 0 >/proc/sys/net/ipv4/conf/all/arp_ignore'
on r1 ip addr del "$VIP/32" dev lo
on d1 ipvsadm -C
silent() { [ "$(on r1 cat /proc/sys/net/ipv4/conf/all/arp_ignore)" = 1 ]; }
expect "r1 answers no ARP for the vip" wait_until 20 silent
expect "r1 has the vip on lo" wait_until 20 vip_on_lo r1
expect "all servers are in both directors' tables" wait_until 20 both sends_to_all

# d1 takes the VIP: addresses, announcements, IPVS, all within the unit.
start probe on c probe http "http://$VIP/" --every 10 --for 10
sleep 1
if holds d2; then stop-agent d2; fi
expect "d1 holds the vip" wait_until 10 holds d1
expect "its status says so" wait_until 5 says d1 'holds 1 of 1 vips: web'
join_line probe
expect_ge answered "$(value ok "$LINE")" 1
expect_le failed "$(value failed "$LINE")" 30

# Rights: CapEff of guard and worker is NET_BIND_SERVICE (10), NET_ADMIN (12), NET_RAW (13); that of the script runner KILL (5), SETGID (6), SETUID (7).
of_runner=$'00000000000000e0 00000000000000e0 1 2 \n'
for host in d1 r1; do
  rights=$(inside $host bash -c 'for pid in $(pgrep -x lvs-agent); do sed -n "s/^\(CapEff\|CapBnd\|NoNewPrivs\|Seccomp\):\t//p" /proc/$pid/status | tr "\n" " "; echo; done' | sort -u)
  [ $host = d1 ] || of_runner=
  expect_eq "rights on $host" "$rights" "${of_runner}0000000000003400 0000000000003400 1 2 "
done
# The other observers run no scripts, so d1's word decides nothing.
sed -e 's/^type = "http"/type = "script"\nscript = "tell"/' -e '/^path = /d' -e '/^status = /d' "$LVS_LAB_CLUSTER" >"$SCRATCH/scripts.toml"
applied() { said inside d1 /run/lvs/lvs-agent apply - <"$1"; }
expect "a script check is applied" applied "$SCRATCH/scripts.toml"
told() { inside d1 /run/lvs/lvs-agent status --json | jq -r '.services[0].servers[0].votes[] | select(.observer == "d1") | .state + " " + .reason'; }
has_told() { told | grep -q '^down exit 1: '; }
expect "d1 runs the script" wait_until 20 has_told
expect_eq "what the script may do" "$(told | sed 's/^down exit 1: //')" "65534 0000000000000000 1 2 0 8192 0"
expect "the web check is applied again" applied "$LVS_LAB_CLUSTER"
expect "d1 sends to all servers again" wait_until 20 sends_to_all d1
guard=$(property d1 MainPID)
expect_eq "scheduling of the guard" "$(inside d1 ps -o cls= -p "$guard" | tr -d ' ')" FF
expect "its memory is locked" inside d1 grep -q 'VmLck:.*[1-9]' "/proc/$guard/status"

# A guard that hangs is killed and started again, and is a member again.
inside d1 kill -STOP "$guard"
begun=$EPOCHSECONDS
restarted() { [ "$(property d1 NRestarts)" -ge 1 ] && active d1; }
expect "the watchdog starts a guard anew that hangs" wait_until 40 restarted
figure restart_after_hang_ms "$WAITED"
expect "it is a member again" wait_until 20 says d1 ' of cluster '
for host in d1 r1; do inside $host cat /run/lvs/log >"$SCRATCH/unit.$host.log"; done
expect "nothing was refused to it" not grep -hE 'Operation not permitted|Permission denied|EPERM' "$SCRATCH"/unit.*.log
inside d1 systemctl stop lvs-agent
expect_eq "its result after stop" "$(property d1 Result)" success
[ $BROKEN = 0 ] || tail -n 40 "$SCRATCH"/unit.*.log "$SCRATCH"/systemd.*.log
