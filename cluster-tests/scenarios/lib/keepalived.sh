# Sourced by scenarios that measure keepalived beside the agent, on the same hosts, before there is a cluster: d1 (priority 150) and d2 (100).
# shellcheck shell=bash

# keepalived_begins LINE…: both run with these lines in their VRRP instance, and the VIP is on d1. The real servers are set up by hand, as its users do.
keepalived_begins() {
  local host
  KEEPALIVED=("$@") BEAT=vrrp
  for host in r1 r2 r3; do
    vip_on_lo $host && continue
    on $host sysctl -qw net.ipv4.conf.{all,lo}.arp_ignore=1 net.ipv4.conf.{all,lo}.arp_announce=2
    on $host ip addr add "$VIP/32" dev lo
  done
  for host in d1 d2; do keepalived_starts $host; done
  keepalived_serves
}
# keepalived_starts HOST: with what keepalived_begins was given.
keepalived_starts() {
  local priority=150 server
  [ "$1" = d1 ] || priority=100
  {
    printf '%s\n' 'global_defs {' "  router_id $1" '}' 'vrrp_instance web {' '  state BACKUP' '  interface eth0' '  virtual_router_id 51' \
      "  priority $priority" "${KEEPALIVED[@]}" "  virtual_ipaddress { $VIP/32 dev eth0 }" '}'
    printf '%s\n' "virtual_server $VIP 80 {" '  delay_loop 1' '  lb_algo wlc' '  lb_kind DR' '  protocol TCP'
    for server in r1 r2 r3; do
      printf '%s\n' "  real_server $(address $server) 80 {" '    HTTP_GET { url { path / status_code 200 } connect_timeout 1 }' '  }'
    done
    echo '}'
  } >"$SCRATCH/keepalived.$1.conf"
  on "$1" keepalived -n -l -D -f "$SCRATCH/keepalived.$1.conf" -p "$SCRATCH/keepalived.$1.pid" -r "$SCRATCH/keepalived.$1.vrrp" \
    -c "$SCRATCH/keepalived.$1.check" >>"$LVS_LAB_LOG/keepalived.$1.log" 2>&1 &
  disown
}
keepalived_serves() { POLL=0.25 wait_until 30 keepalived_is_whole || give_up "keepalived does not serve after 30 s"; }
# d2 may send to servers before it is anybody's backup; a second in which it hears the master makes it one.
keepalived_is_whole() { holds d1 && both sends_to_all; }
# keepalived_pid HOST [vrrp|check]: the process that looks after the others, or one of those.
keepalived_pid() { cat "$SCRATCH/keepalived.$1.${2:-pid}"; }
# keepalived_off_and_on NAME N PERIOD_MS SECONDS: the master loses its power, and gets it back.
keepalived_off_and_on() {
  outage_of "$1" "$2" "$3" "$4" power-off d1
  holds d2 || give_up "keepalived: the VIP is not on d2"
  power-on d1
  keepalived_starts d1
  keepalived_serves
  sleep 1
}
# keepalived_ends: nothing of it is left, on directors and real servers.
keepalived_ends() {
  local host
  for host in d1 d2 r1 r2 r3; do power-off $host && power-on $host; done
  rm -f "$SCRATCH"/keepalived.*
  BEAT=lease
}
# keepalived_as SETTING: begins with one of its two settings, as it comes (default) or as fast as is reasonable (50ms); leaves in $PERIOD how often it advertises
# then, in milliseconds.
keepalived_as() {
  case $1 in
  default) PERIOD=1000 && keepalived_begins '  advert_int 1' ;;
  50ms) PERIOD=50 && keepalived_begins '  version 3' '  advert_int 0.05' ;;
  esac
}
