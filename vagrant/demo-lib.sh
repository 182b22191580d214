# Sourced by demo.sh: machines, cluster, requests, what is measured and expected.
# shellcheck shell=bash

EXPECTED=0 BROKEN=0 LINE='' MADE=() WATCHES=() PROBE='' OFF=''
SCRATCH=$(mktemp -d)
tidy_up() {
  local status=$? pid socket
  trap - EXIT
  exec 8>&-
  for pid in "${WATCHES[@]}" $PROBE; do kill -- "-$pid" 2>/dev/null || :; done
  for socket in "$SCRATCH"/*.sock; do ssh -o ControlPath="$socket" -O exit nobody 2>/dev/null || :; done
  rm -rf "$SCRATCH"
  exit $status
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

now_ms() { local _micros=${EPOCHREALTIME/./} && printf -v "$1" %s $((_micros / 1000)); }
step() { local now && now_ms now && printf '\n[%3d.%d s] %s\n' $(((now - BEGIN) / 1000)) $(((now - BEGIN) / 100 % 10)) "$*"; }
figure() { printf 'figure %s %s\n' "$1" "$2"; }
verdict() { # HELD TEXT
  EXPECTED=$((EXPECTED + 1))
  if [ "$1" = yes ]; then printf 'PASS %s\n' "$2"; else BROKEN=$((BROKEN + 1)) && printf 'FAIL %s\n' "$2"; fi
}
expect() { if "${@:2}"; then verdict yes "$1"; else verdict no "$1"; fi; }
expect_eq() { if [ "$2" = "$3" ]; then verdict yes "$1 is '$2'"; else verdict no "$1 is '$2', not '$3'"; fi; }
expect_le() { figure "$1" "$2" && if [ "$2" -le "$3" ] 2>/dev/null; then verdict yes "$1 is $2, at most $3"; else verdict no "$1 is '$2', not at most $3"; fi; }
# give_up TEXT: what there is no point in going on without. The machines stay, to be looked at.
give_up() { die 98 "$*; the machines are left as they are (cd vagrant && vagrant ssh lb1, sudo journalctl -u lvs-agent)"; }
# wait_until SECONDS CMD…: the command is tried until it succeeds.
wait_until() {
  local end=$((SECONDS + $1))
  until "${@:2}"; do [ $SECONDS -lt $end ] && sleep 0.2 || return 1; done
}

# --- machines -------------------------------------------------------------------------------------------------------------------------------------
in_folder() { (cd "$ROOT/vagrant" && "$@"); }
machine_states() { in_folder vagrant status --machine-readable | awk -F, '$3 == "state" { print $2, $4 }'; }
# What vagrant says of ports and keys may differ after each start.
learn_ssh() { in_folder vagrant ssh-config >"$SCRATCH/ssh" 2>/dev/null || give_up "vagrant ssh-config says nothing"; }
# on NODE CMD…: over one connection for each machine, which is dropped when the machine does not answer for 10 s. Descriptor 8 is the end of a probe.
on() {
  ssh -F "$SCRATCH/ssh" -o ControlMaster=auto -o ControlPath="$SCRATCH/%n.sock" -o ControlPersist=60 -o ConnectTimeout=20 \
    -o ServerAliveInterval=5 -o ServerAliveCountMax=2 -o LogLevel=ERROR "$1" "${@:2}" 8>&-
}
# ask NODE CMD…: a question; nothing is read from this terminal.
ask() { on "$@" </dev/null 2>/dev/null; }
run() {
  printf '    %s$ %s\n' "$1" "${*:2}"
  on "$@" </dev/null 2>&1 | sed 's/^/    /'
  return "${PIPESTATUS[0]}"
}
machines_up() {
  local states down=() name state
  states=$(machine_states) || die 98 "vagrant status failed: its words are above (vagrant/README.md)"
  for name in client "${NODES[@]}"; do
    state=$(awk -v name="$name" '$1 == name { print $2 }' <<<"$states")
    [ "$state" = running ] || down+=("$name")
    [ "$state" != not_created ] || MADE+=("$name")
  done
  if [ ${#down[@]} -gt 0 ]; then
    quietly "vagrant up ${down[*]}" in_folder vagrant up --no-tty "${down[@]}" || die 98 "vagrant up failed: its last words are above; vagrant/README.md has what helps"
  fi
  learn_ssh
  for name in client "${NODES[@]}"; do wait_until $PATIENCE ask "$name" true || die 98 "$name does not answer: (cd vagrant && vagrant ssh $name)"; done
  on client tee probe.pl <"$ROOT/vagrant/probe.pl" >/dev/null
}
# As if the plug were pulled. `vagrant halt --force` would be no such thing: with libvirt it asks the machine to shut down first.
power_off() {
  local file
  OFF=$1
  for file in "${VAGRANT_DOTFILE_PATH:-$ROOT/vagrant/.vagrant}/machines/$1"/*/id; do
    case $file in
    */libvirt/id) virsh -q -c "${LIBVIRT_DEFAULT_URI:-qemu:///system}" destroy "$(cat "$file")" ;;
    */virtualbox/id) VBoxManage controlvm "$(cat "$file")" poweroff 2>/dev/null ;;
    *) give_up "how does one cut the power of $file? I know libvirt and VirtualBox" ;;
    esac || give_up "the power of $1 could not be cut"
  done
  ssh -F "$SCRATCH/ssh" -o ControlPath="$SCRATCH/%n.sock" -O exit "$1" 2>/dev/null || :
}
power_on() {
  quietly "vagrant up $1" in_folder vagrant up --no-tty "$1" || give_up "vagrant up $1 failed"
  OFF=''
  learn_ssh
  watch_addresses "$1"
}
take_down() {
  if [ -n "$KEEP" ] || [ ${#MADE[@]} = 0 ]; then
    echo "The machines run on: cd vagrant && vagrant ssh lb1; vagrant destroy -f takes them away."
    return
  fi
  quietly "vagrant destroy ${MADE[*]}" in_folder vagrant destroy -f "${MADE[@]}" || say "vagrant destroy failed"
}

# --- cluster --------------------------------------------------------------------------------------------------------------------------------------
in_cluster() { ask "$1" sudo lvs-agent status --json | jq -e .cluster >/dev/null; }
# Those that are no members yet join, with the token that init gave, or one of `token create` where the cluster is older than this demo.
form_cluster() {
  local token='' node
  if ! in_cluster lb1; then
    echo "    lb1\$ sudo lvs-agent init --json    # the token that it prints goes to the others on standard input"
    token=$(ask lb1 sudo lvs-agent init --json | jq -r .token.token) && [ -n "$token" ] || return
  fi
  for node in "${NODES[@]:1}"; do
    if in_cluster "$node"; then continue; fi
    [ -n "$token" ] || token=$(ask lb1 sudo lvs-agent token create --json | jq -r .token) || return
    echo "    $node\$ sudo lvs-agent join $SEED --token-file -"
    on "$node" sudo lvs-agent join $SEED --token-file - --timeout "$PATIENCE" <<<"$token" 2>&1 | sed 's/^/    /' || return
  done
}
cluster_file() {
  local i
  printf '[[vip]]\nname = "web"\naddresses = ["%s"]\ninterface = "lan"\n\n' $VIP
  printf '[[service]]\nname = "http"\nvip = "web"\nport = 80\nscheduler = "wlc"\n'
  # shellcheck disable=SC2086 # interval and timeout
  printf '  [service.check]\n  type = "http"\n  path = "/"\n  status = [200]\n  interval = "%s"\n  timeout = "%s"\n' $CHECK
  for ((i = 1; i <= SERVERS; i++)); do printf '  [[service.server]]\n  name = "web%d"\n  address = "%s"\n' "$i" "$(address "web$i")"; done
}
address() { echo 192.168.56.$((20 + ${1#web})); }
other() { if [ "$1" = lb1 ]; then echo lb2; else echo lb1; fi; }
both() { "$1" lb1 "${@:2}" && "$1" lb2 "${@:2}"; }
# The directors whose kernel has the VIP; one without power is not asked.
holder() {
  local node
  for node in "${DIRECTORS[@]}"; do
    if [ "$node" != "$OFF" ] && ask "$node" ip -o addr show to $VIP | grep -q inet; then echo "$node"; fi
  done
}
holds() { [ "$(holder)" = "$1" ]; }
# sends_to DIRECTOR SERVER, isolates DIRECTOR SERVER: the director's kernel has the server with a weight above 0, or not. Neither holds for a director
# that does not answer.
kernel_sends() {
  local hex
  # shellcheck disable=SC2046,SC2183 # four numbers
  hex=$(printf '%02X%02X%02X%02X:0050' $(address "$2" | tr . ' '))
  ask "$1" sudo cat /proc/net/ip_vs | awk -v server="$hex" '
    /^IP Virtual Server/ { read = 1 } $1 == "->" && $2 == server && $4 > 0 { found = 1 } END { if (read) print found ? "yes" : "no" }'
}
sends_to() { [ "$(kernel_sends "$@")" = yes ]; }
isolates() { [ "$(kernel_sends "$@")" = no ]; }
sends_to_all() { local server && for server in "${REAL_SERVERS[@]}"; do sends_to "$1" "$server" || return; done; }
serves() { [ "$(holder | wc -l)" = 1 ] && both sends_to_all; }
status() { ask "$1" sudo lvs-agent status --json | jq -r "$2"; }
hears() { [ "$(status "$1" ".nodes[] | select(.name == \"$2\") | .reachable")" = true ]; }
agrees() { [ "$(status "$1" '.vips[0].holder + " " + ([.nodes[].reachable] | all | tostring)')" = "$2 true" ]; }
vip_epoch() { status "$1" '.vips[0].epoch'; }

# --- what the client and the directors see --------------------------------------------------------------------------------------------------------
# A probe ends when its standard input does, so that none outlives this script.
probe() { on client perl probe.pl $VIP 80 "$EVERY" $TIMEOUT <"$SCRATCH/$1.end" >"$SCRATCH/$1" 2>&1; }
start_probe() {
  mkfifo "$SCRATCH/$1.end"
  in_group probe "$1"
  PROBE=$!
  exec 8>"$SCRATCH/$1.end"
}
end_probe() {
  exec 8>&-
  wait "$PROBE" || say "the probe $1 ended badly: $(tail -n 1 "$SCRATCH/$1")"
  PROBE=''
  LINE=$(cat "$SCRATCH/$1") && echo "$1: $LINE"
}
value() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" <<<"$2"; }
requests() { local count && count=$(value servers "$2" | tr ',' '\n' | sed -n "s/^$1://p") && echo "${count:-0}"; }

# in_group CMD…: in the background, with all that it starts in one process group, whose number is $!.
in_group() {
  set -m
  "$@" 8>&- &
  set +m
}
stamped() { local now line && while read -r line; do now_ms now && printf '%s %s\n' "$now" "$line"; done; }
# Each director's kernel tells when it gets the VIP, keeps it for another lease, or loses it.
tell_addresses() {
  on "$1" stdbuf -oL ip -o monitor address </dev/null 2>/dev/null | stamped |
    sed -un "s|^\([0-9]*\) Deleted.* $VIP/.*|\1 $1 lost|p;s|^\([0-9]*\) .* $VIP/.*|\1 $1 has|p" >>"$SCRATCH/holders"
}
watch_addresses() { in_group tell_addresses "$1" && WATCHES+=($!); }
watch_holders() { local node && for node in "${DIRECTORS[@]}"; do watch_addresses "$node"; done; }
# Holding begins with the first `has` and ends with `lost`, or with the last `has` where nothing follows for 10 s: a power cut.
most_holders() {
  sort -n "$SCRATCH/holders" | awk '
    function close_at(node, at) { printf "%.1f 1\n%.1f -1\n", from[node], at + 0.5; delete from[node] }
    { if ($2 in from && $1 - last[$2] > 10000) close_at($2, last[$2])
      if ($3 == "has") { if (!($2 in from)) from[$2] = $1; last[$2] = $1 } else if ($2 in from) close_at($2, $1) }
    END { for (node in from) close_at(node, last[node]) }' | sort -n | awk '{ now += $2; if (now > most) most = now } END { print most + 0 }'
}
tell_arp() {
  local interface
  interface=$(ask client ip -o -4 addr show to 192.168.56.10 | awk '{ print $2; exit }')
  on client sudo stdbuf -oL arping -b -I "$interface" $VIP </dev/null 2>/dev/null | stamped | sed -un 's/^\([0-9]*\) .*\[\(.*\)\].*/\1 \2/p' >>"$SCRATCH/arp"
}
watch_arp() { in_group tell_arp && WATCHES+=($!); }
# Requests are a second apart: answers within half a second are answers to one.
most_macs() {
  awk '{ if ($1 - begun > 500) { begun = $1; delete seen; count = 0 } if (!($2 in seen)) { seen[$2]; count++ } if (count > most) most = count } END { print most + 0 }' "$SCRATCH/arp"
}
