#!/bin/bash
# What is not there yet, or not right, when an agent starts is waited for: its address, a name, an interface of one VIP group. It is said meanwhile, and nothing is restarted for it.
. "$(dirname "$0")/lib.sh"

why() { status "$1" '.not_started // "started"'; }
waits_for() { why "$1" | grep -q "$2"; }
started() { [ "$(why "$1")" = started ]; }
code() { # HOST COMMAND…: its exit status.
  local status=0
  on "$1" lvs-agent "${@:2}" >"$SCRATCH/code" 2>&1 || status=$?
  echo $status
}
times() { grep -cE -- "$2" "$LVS_LAB_LOG/$1.agent.log"; }

expect "the cluster serves at first" wait_until 20 serves
director=$(holder) late=$(other "$(holder)")
traffic 45

# The address comes long after the agent, as from a slow DHCP.
stop-agent "$late"
: >"$LVS_LAB_LOG/$late.agent.log"
on "$late" ip addr del "$(address "$late")/24" dev eth0
start-agent "$late"
expect "$late says that it waits for its address" wait_until 5 waits_for "$late" "waiting for address $(address "$late") to appear on this machine"
before=$(agent-pids "$late")
expect_eq "exit status of a command meanwhile" "$(code "$late" export)" 6
sleep 4
expect_eq "guard and worker of $late" "$(agent-pids "$late")" "$before"
expect_eq "lines about it" "$(times "$late" 'waiting for this node.s address') $(times "$late" 'this node has not started')" "1 1"
on "$late" ip addr add "$(address "$late")/24" dev eth0
expect "$late goes on once the address is there" wait_until 5 started "$late"
expect_le "start_after_address_ms" "$WAITED" 2000
expect "$late is heard again" wait_until 10 hears "$director" "$late"
expect_eq "guard and worker of $late, still" "$(agent-pids "$late")" "$before"

# Another name than the cluster knows.
: >"$LVS_LAB_LOG/r1.agent.log"
stop-agent r1
renamed r1 r9
start-agent r1
expect "r1 says that its name is wrong" wait_until 5 waits_for r1 'this node is called r9 in agent.toml, but r1 in its cluster: set'
said on r1 lvs-agent status
expect "so does status in words" grep -q '^NOT STARTED' "$SCRATCH/said"
before=$(agent-pids r1)
expect_eq "exit status of leave meanwhile" "$(code r1 leave)" 6
sleep 4
expect_eq "guard and worker of r1" "$(agent-pids r1)" "$before"
expect_eq "lines about it" "$(times r1 'this node has not started')" 1
expect "r1 keeps the vip on lo" vip_on_lo r1
renamed r1 r1
expect "r1 starts by itself once its name is put right" wait_until 10 started r1
expect "r1 is heard again" wait_until 10 hears "$director" r1
undisturbed

# Two VIP networks. Every agent.toml here says `interface = "eth0"`, from before there were two; the late director has no second interface yet.
on "$director" ip link add eth1 type veth peer name eth1p
on "$director" ip link set eth1 up && on "$director" ip link set eth1p up
{
  cat "$LVS_LAB_CLUSTER"
  printf '[[vip]]\nname = "web2"\naddresses = ["10.0.1.100"]\ninterface = "eth1"\n'
} >"$SCRATCH/two.toml"
expect "a second vip network is applied" on "$director" lvs-agent apply "$SCRATCH/two.toml"
second_on() { on "$1" ip -o addr show dev eth1 2>/dev/null | grep -q ' 10.0.1.100/32 '; }
problem() { status "$1" '.problems[]' | grep -q "$2"; }
expect "$director holds the second vip on eth1" wait_until 10 second_on "$director"
expect "$late says what it lacks" wait_until 10 problem "$late" 'has no interface eth1 and leaves VIP group web2'
expect "$late says that interface means nothing here" problem "$late" '`interface = "eth0"` in agent.toml'
on "$late" ip link add eth1 type veth peer name eth1p
on "$late" ip link set eth1 up && on "$late" ip link set eth1p up
expect "$late says nothing of eth1 once it is there" wait_until 5 not problem "$late" 'has no interface eth1'
stop-agent "$director"
expect "$late takes the second vip on eth1" wait_until 10 second_on "$late"
expect "$late holds the first vip on eth0" wait_until 10 holds "$late"
expect "the second is nowhere else" not on "$late" sh -c 'ip -o addr show dev eth0 | grep -q 10.0.1.100'
expect "no panic" no_panic
