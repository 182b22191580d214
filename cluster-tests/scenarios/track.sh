#!/bin/bash
# Tracks of a director: a file, a number, a script and an interface make it less fit to hold the VIP while they fail; status says which and why.
# lab:
. "$(dirname "$0")/lib.sh"

less_fit() { status "$1" '[.vips[0].less_fit[] | "\(.node) \(.fitness) \(.why)"] | join("; ")'; }
fitness_is() { [ "$(less_fit "$1")" = "$2" ]; }

# The holder stays as it is; the other director gets its tracks, and is started anew.
first=$(holder)
second=$(other "$first")
echo 'lvs-check:x:963:964::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
BOARD=/run/track
mkdir -p $BOARD && chmod 755 $BOARD
on "$second" sh -c 'chmod 755 /etc/lvs-agent && mkdir -p /etc/lvs-agent/checks && cat >/etc/lvs-agent/checks/check-disk && chmod 755 /etc/lvs-agent/checks/check-disk' <<SCRIPT
#!/bin/bash
[ -e $BOARD/full ] || exit 0
echo "\$LVS_TRACK: \$1 is full"
exit 2
SCRIPT
track() { setting "$second" '[[track]]' "$@" 'interval = "200ms"'; }
on "$second" ip link add uplink type dummy
on "$second" ip link set uplink up
setting "$second" '[scripts]' 'user = "lvs-check"'
track 'name = "disk"' 'type = "script"' 'script = "check-disk"' 'args = ["/srv"]' 'weight = -200'
track 'name = "drain"' 'type = "file"' "path = \"$BOARD/drain\"" 'expects = "absent"' 'vips = ["web"]'
track 'name = "load"' 'type = "file"' "path = \"$BOARD/load\"" 'weight = -10'
track 'name = "other"' 'type = "file"' "path = \"$BOARD/drain\"" 'expects = "absent"' 'vips = ["mail"]'
track 'name = "uplink"' 'type = "interface"' 'interface = "uplink"' 'weight = 300'
mark
stop-agent "$second"
start-agent "$second"
expect "$second sends to every server again" wait_until 20 sends_to_all "$second"
expect "its tracks are looked at, and pass" wait_until 10 logged '"?track passes' "$second"
expect_eq "less fit directors" "$(less_fit "$first")" ""

touch $BOARD/full
expect "a script that fails costs its weight" wait_until 5 fitness_is "$first" "$second 800 track disk fails: exit 2: disk: /srv is full"
expect_le script_ms "$WAITED" 1500
echo 25 >$BOARD/load
expect "a number is multiplied by its weight" wait_until 5 fitness_is "$first" "$second 550 track disk fails: exit 2: disk: /srv is full; track load fails: its number is 25"
on "$second" ip link set uplink down
expect "an interface without a carrier adds to it" wait_until 5 fitness_is "$first" "$second 250 track disk fails: exit 2: disk: /srv is full; track load fails: its number is 25; track uplink fails: uplink has no carrier"
rm $BOARD/full $BOARD/load
on "$second" ip link set uplink up
touch $BOARD/drain
expect "without a weight it is the last resort, at once" wait_until 5 fitness_is "$first" "$second 1 track drain fails: $BOARD/drain is there"
said on "$second" lvs-agent status
expect "its status says so" grep -q "$second is less fit to hold it (1 of 1000): track drain fails" "$SCRATCH/said"
rm $BOARD/drain
expect "it is fit again" wait_until 20 fitness_is "$first" ""
expect_ge fit_again_ms "$WAITED" 5000
expect "the VIP has not moved" holds "$first"

# A wrong file is told with its place, and changes nothing.
setting "$second" '[[track]]' 'name = "bad"' 'type = "proces"'
refused "a track of an unknown type" 'agent.toml:[0-9]+:[0-9]+: `type`: `proces` is not a type of track: use script, file or interface' on "$second" lvs-agent run
