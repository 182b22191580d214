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
# directors_form: the cluster, with one group. Not by form-cluster, which looks at IPVS: groups without services are held on any kernel.
directors_form() {
  local host token
  has_roles r1 director
  start-agent d1 d2 r1 r2 r3
  for host in d1 d2 r1 r2 r3; do wait_until 30 answers $host || give_up "the agent of $host does not answer"; done
  on d1 lvs-agent init >"$SCRATCH/init" 2>&1 || { cat "$SCRATCH/init" && give_up "no cluster"; }
  token=$(token d1 --uses 4 --roles director,real-server)
  for host in d2 r1 r2 r3; do on $host lvs-agent join 10.0.0.11 --token "$token" >"$SCRATCH/join" 2>&1 || { cat "$SCRATCH/join" && give_up "$host does not join"; }; done
  there_are 1
  POLL=0.25 wait_until 60 five_vote || give_up "not all five vote"
}
five_vote() { [ "$(status d2 '[([.nodes[] | select(.reachable)] | length), (.cluster.voters | length), .cluster.quorum] | @csv')" = '5,5,true' ]; }
# there_are N: so many groups from now on, and each is held.
there_are() {
  groups "$1" >"$SCRATCH/groups.toml"
  on d1 lvs-agent apply "$SCRATCH/groups.toml" >"$SCRATCH/applied" 2>&1 || { cat "$SCRATCH/applied" && give_up "$1 groups are not applied"; }
  POLL=0.5 wait_until 30 all_held "$1" "${DIRECTORS[@]}" || give_up "not all of $1 groups are held: $(held_by "${DIRECTORS[@]}" | wc -l) addresses"
}
