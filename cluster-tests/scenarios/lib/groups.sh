# Sourced by scenarios with many VIP groups: three directors (d1, d2, r1), two more voters, groups of four addresses and no services.
# shellcheck shell=bash

DIRECTORS=(d1 d2 r1)
# groups N: a cluster file of so many groups. There is no VIP of another scenario in it.
groups() {
  local group address list
  for ((group = 0; group < $1; group++)); do
    list=''
    for ((address = group * 4; address < group * 4 + 4; address++)); do list+="\"10.0.$((1 + address / 200)).$((1 + address % 200))\", "; done
    printf '[[vip]]\nname = "g%d"\naddresses = [%s]\ninterface = "eth0"\n' "$group" "${list%, }"
  done
}
# held_by HOST…: the addresses of groups that are on their interfaces, one a line.
held_by() { local host && for host in "$@"; do ip -n "$host" -o -4 addr show dev eth0 | awk '$4 ~ "^10[.]0[.][1-9][.]" { sub("/.*", "", $4); print $4 }'; done; }
# all_held N HOST…: the hosts have the addresses of N groups.
all_held() { [ "$(held_by "${@:2}" | sort -u | wc -l)" = $((4 * $1)) ]; }
# directors_form: the cluster, with one group.
directors_form() {
  has_roles r1 director
  groups 1 >"$SCRATCH/groups.toml"
  form-cluster "$SCRATCH/groups.toml" || give_up "no cluster of three directors"
}
# there_are N: so many groups from now on, and each is held.
there_are() {
  groups "$1" >"$SCRATCH/groups.toml"
  on d1 lvs-agent apply "$SCRATCH/groups.toml" >"$SCRATCH/applied" 2>&1 || { cat "$SCRATCH/applied" && give_up "$1 groups are not applied"; }
  POLL=0.5 wait_until 30 all_held "$1" "${DIRECTORS[@]}" || give_up "not all of $1 groups are held: $(held_by "${DIRECTORS[@]}" | wc -l) addresses"
}
