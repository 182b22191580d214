#!/bin/bash
# Script checks: run as their user and with no rights, judged by the quorum, killed at their timeout, unsafe ones not run; they outlive the worker.
# lab: --cluster none
. "$(dirname "$0")/lib.sh"

# What the script does for a server stands in $BOARD/SERVER; it leaves notes there.
BOARD=/run/script-check
mkdir -p $BOARD && chmod 1777 $BOARD
echo 'lvs-check:x:963:964::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
check() { # HOST: its script
  cat <<SCRIPT
#!/bin/bash
note=$BOARD/$1.\$LVS_SERVER
[ -e \$note.env ] || { env | sort >\$note.env; cat /proc/self/status >\$note.status; echo "\$*" >\$note.args; cat /proc/self/oom_score_adj >\$note.oom; }
read -r what 2>/dev/null <$BOARD/\$LVS_SERVER
case \$what in
fail) echo && echo "replica is 40 s behind" && echo "and more" && exit 2 ;;
hang) sleep 1000 & echo \$! >>$BOARD/hangs.$1; echo "waits for an answer"; trap '' TERM; while :; do sleep 1000; done ;;
esac
exec 3<>/dev/tcp/\$LVS_ADDRESS/\$LVS_PORT && echo "all is well at \$EPOCHREALTIME"
SCRIPT
}
for host in d1 d2 r1 r2 r3; do
  setting $host '[scripts]' 'user = "lvs-check"'
  on $host sh -c 'chmod 755 /etc/lvs-agent && mkdir -p /etc/lvs-agent/checks && cat >/etc/lvs-agent/checks/check-web && chmod 755 /etc/lvs-agent/checks/check-web' < <(check $host)
done
sed -e 's/^type = "http"/type = "script"\nscript = "check-web"\nargs = ["--depth", "two words"]/' -e '/^path = /d' -e '/^status = /d' "$(dirname "$0")/../cluster.toml" >"$SCRATCH/cluster.toml"

# Users that will not do.
for user in root nobody-knows; do
  on r3 sed -i "s/^user = .*/user = \"$user\"/" /etc/lvs-agent/agent.toml
  refused "[scripts] user = $user" 'user.*useradd --system' on r3 lvs-agent run
done
on r3 sed -i 's/^user = .*/user = "lvs-check"/' /etc/lvs-agent/agent.toml
form-cluster "$SCRATCH/cluster.toml" || give_up "no cluster"
expect "the cluster serves, as scripts say" wait_until 20 serves
traffic 300

# Rights. 10, 12 and 13 are the agent's capabilities; 5, 6 and 7 KILL, SETGID and SETUID.
rights() { sed -n 's/^\(CapEff\|CapPrm\|CapBnd\|NoNewPrivs\):\t//p' "$1" | tr '\n' ' '; }
pid() { agent-pids "$1" | awk -v which="$2" '$1 == which { print $2; exit }'; }
for host in d1 r1; do
  for which in guard worker; do
    expect_eq "rights of the $which on $host" "$(rights "/proc/$(pid $host $which)/status")" "0000000000003400 0000000000003400 0000000000003400 1 "
  done
  expect_eq "rights of the runner on $host" "$(rights "/proc/$(pid $host runner)/status")" "00000000000000e0 00000000000000e0 00000000000000e0 1 "
done
figure runner_rss_kb "$(awk '/^VmRSS:/ { print $2 }' "/proc/$(pid d1 runner)/status")"
figure runner_rss_of_its_own_kb "$(awk '/^RssAnon:/ { print $2 }' "/proc/$(pid d1 runner)/status")"
of_script() { awk -v key="$1:" '$1 == key { $1 = ""; print }' $BOARD/d1.r1.status; }
for line in 'Uid: 963 963 963 963' 'Gid: 964 964 964 964' 'CapEff: 0000000000000000' 'CapPrm: 0000000000000000' 'CapAmb: 0000000000000000' 'NoNewPrivs: 1'; do
  expect_eq "a script's ${line%%:*}" "$(of_script "${line%%:*}")" "${line#*:}"
done
expect_eq "its supplementary groups" "$(of_script Groups | tr -d ' ')" ""
expect_eq "its score when memory is short" "$(cat $BOARD/d1.r1.oom)" 0
expect_eq "its arguments" "$(cat $BOARD/d1.r1.args)" "--depth two words"
expect_eq "its environment" "$(grep -vE '^(PWD|OLDPWD|SHLVL|_)=' $BOARD/d1.r1.env | grep -v ^PATH= | tr '\n' ' ')" "LVS_ADDRESS=10.0.0.21 LVS_PORT=80 LVS_SERVER=r1 LVS_SERVICE=http "

vote() { status d1 ".services[0].servers[] | select(.name == \"$1\") | .votes[] | select(.observer == \"$2\") | .state + \" \" + .reason"; }
votes() { vote "$@" | grep -qE -- "$3"; }
is_out() { wait-pool "$1" d1 d2 --out --within 10; }
is_in() { wait-pool "$1" d1 d2 --within 10; }

# A script that fails, its server serving all the while.
echo fail >$BOARD/r1
expect "r1 is isolated when its script fails" is_out r1
sleep 1
said on d2 lvs-agent status
expect "status says the script's first line" grep -q 'exit 2: replica is 40 s behind' "$SCRATCH/said"
expect "status shows the check" grep -q 'script check-web --depth "two words" every 1s' "$SCRATCH/said"
rm $BOARD/r1
expect "r1 is back when it passes" is_in r1

# A script that hangs.
echo hang >$BOARD/r2
expect "r2 is isolated when its script hangs" is_out r2
sleep 1
expect "its timeout and what it wrote are the reason" votes r2 d1 '^down timeout after 500 ms: waits for an answer$'
rm $BOARD/r2
expect "r2 is back when it passes" is_in r2
sleep 1
alive() { local child && for child in $(cat "$@"); do if [ -d "/proc/$child" ]; then echo "$child"; fi; done | wc -l; } # FILE…
figure scripts_that_hung "$(cat $BOARD/hangs.* | wc -l)"
expect_eq "children of scripts that hung, alive" "$(alive $BOARD/hangs.*)" 0

# Another worker goes on with the same runner.
runner=$(pid d1 runner)
worker=$(pid d1 worker)
kill -9 "$worker"
replaced() { local now && now=$(pid d1 worker) && [ -n "$now" ] && [ "$now" != "$worker" ]; }
expect "another worker runs on d1" wait_until 10 replaced
expect "it has scripts run" wait_until 20 votes r3 d1 '^up exit 0'
expect_eq "d1's runner" "$(pid d1 runner)" "$runner"
echo fail >$BOARD/r3
expect "r3 is isolated" is_out r3
expect "d1 says why" wait_until 5 votes r3 d1 '^down exit 2: replica'
rm $BOARD/r3
expect "r3 is back" is_in r3

# One node cannot ask: it has no vote and says why, the others decide.
decided_without_d2() { # NAME REASON
  expect "d2 says that its script is $1" wait_until 10 votes r1 d2 "^unable .*/etc/lvs-agent/checks/check-web.*$2"
  expect "r1 stays in" sends_to d2 r1
  echo fail >$BOARD/r1
  expect "the others isolate r1" is_out r1
  rm $BOARD/r1
  expect "the others take r1 back" is_in r1
}
on d2 chmod g+w /etc/lvs-agent/checks/check-web
decided_without_d2 "not safe" 'can be written by others than root: chmod go-w'
on d2 sh -c 'chmod g-w /etc/lvs-agent/checks/check-web && mv /etc/lvs-agent/checks/check-web /etc/lvs-agent/checks/elsewhere'
decided_without_d2 "missing" 'is on this node: put the script there|put the script there'
said on d1 lvs-agent status
expect "status says which node cannot ask" grep -qE 'd2 cannot ask for [0-9a-z ]+: there is no /etc/lvs-agent/checks/check-web' "$SCRATCH/said"
on d2 mv /etc/lvs-agent/checks/elsewhere /etc/lvs-agent/checks/check-web
expect "d2 asks again" wait_until 10 votes r1 d2 '^up exit 0'

# A runner that dies is not replaced, and takes nothing with it.
mark
kill -9 "$(pid d2 runner)"
expect "d2 says that its runner is gone" wait_until 10 votes r1 d2 '^unable the script runner is gone: restart the agent'
sleep 3
expect_eq "errors logged of it" "$(for log in "$LVS_LAB_LOG"/d2.agent.log; do tail -n +$((${MARK[$log]} + 1)) "$log" | grep -c 'the script runner is gone, no script check is run here'; done)" 1
expect "all servers stay in" both sends_to_all
undisturbed

# What the guard's end leaves: nothing, neither runner nor scripts.
echo hang >$BOARD/r1
sleep 2
runner=$(pid d1 runner)
expect "d1's agent stops" stop-agent d1
gone() { ! [ -d "/proc/$runner" ] && [ "$(alive $BOARD/hangs.d1)" = 0 ]; }
expect "its runner is gone, and what that ran" wait_until 5 gone
expect "no agent panicked" no_panic
