#!/bin/bash
# What a person does on each machine before the cluster is formed. Run there as root by `vagrant up`: provision.sh ROLE ADDRESS TIMING
set -euo pipefail
ROLE=$1 ADDRESS=$2 TIMING=$3
export DEBIAN_FRONTEND=noninteractive

# need COMMAND:PACKAGE…: installs what the box lacks; the box of scripts/vagrant-box has it all and asks no mirror.
need() {
  local pair missing=()
  for pair in "$@"; do PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}"); done
  [ ${#missing[@]} = 0 ] || { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; }
}

case $ROLE in
client)
  need curl:curl arping:iputils-arping
  ;;
real-server)
  need nginx:nginx-light
  hostname >/var/www/html/index.html
  systemctl enable -q --now nginx
  ;;
esac

if [ "$ROLE" != client ]; then
  apt-get install -y -q --no-install-recommends /tmp/lvs-agent.deb
  # The interface has another name in each kind of virtual machine; the cluster file calls it lan.
  interface=$(ip -o -4 addr show to "$ADDRESS" | awk '{ print $2; exit }')
  case $ROLE in
  director) lvs-agent configure --roles director --address "$ADDRESS" --interface "$interface" --timing "$TIMING" ;;
  *) lvs-agent configure --roles "$ROLE" --address "$ADDRESS" ;;
  esac
fi
echo "$(hostname): $ROLE, $ADDRESS, ready"
