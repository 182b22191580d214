//! Help texts: what a command is for, and examples.

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage, or a file or value that is not valid
  3   the agent on this node, or at --server, cannot be reached
  4   no quorum, no seed answered, or no result in time
  5   refused: the cluster, this node's standing in it, or a certificate forbids it
  6   the agent answers, but its node cannot start; `lvs-agent status` says why
  10  plan --exit-code: there are changes

Files:
  /etc/lvs-agent/agent.toml   this node's configuration
  /var/lib/lvs-agent          its state and keys
  /run/lvs-agent/agent.sock   where the agent listens for these commands (root only)

First steps:
  lvs-agent configure --roles director         on every node, with its roles; writes agent.toml, starts the service
  lvs-agent init                               on one director; it prints the next line
  lvs-agent join 10.0.0.11 --token lvs1_...    on the others, with the address of any member
  lvs-agent apply cluster.toml                 on a director
  lvs-agent status                             on any node";

pub(super) const CONFIGURE_HELP: &str = "\
Says what this node is: writes agent.toml and, where systemd runs and the unit lvs-agent.service is installed, enables and starts the service (restarts it, if it ran) \
and waits until the agent answers. Then `lvs-agent init` or `lvs-agent join` is next. It asks nothing, and says what it took from where.

Without --address it takes the address of the IPv4 default route; with --interface the first one of that interface; never a VIP. An address that is not there yet is \
taken with a warning, since the agent waits for it. In agent.toml, `interface` is where this director has its VIPs: it is written for directors only, and only \
where --interface was given.

An agent.toml that was edited by hand is not replaced (exit code 5) unless it says all of that already, or --force is given, which keeps it as agent.toml.bak-DATE. One \
that `configure` wrote is replaced and kept in the same way. The new one is there as a whole or not at all.

Examples:
  lvs-agent configure --roles director
  lvs-agent configure --roles real-server --interface eth1
  lvs-agent configure --roles director,real-server --address 10.0.0.11 --zone rack-1
  lvs-agent configure --roles witness --seeds 10.0.0.11,10.0.0.12 && lvs-agent join --token-file token.txt
  lvs-agent configure --roles director --dry-run    # shows the file, changes nothing
  lvs-agent configure --roles director --json | jq -r .address";

pub(super) const INIT_HELP: &str = "\
Makes a new cluster with this node, a director, as its first member: its identity, its CA, this node's certificate and the first key of its gossip. Run it once, on one \
node; where agent.toml has no \"director\" in `roles` it is refused. It prints the line to run on all others, with a token that lets them in for a while. Whoever has the token can join, so hand it on as you would a password. \
The timing profile of the cluster is the one in this node's agent.toml.

Examples:
  lvs-agent init
  lvs-agent init --json | jq -r .token.token";

pub(super) const JOIN_HELP: &str = "\
Makes this node a member of a running cluster and waits until it has the cluster's rules. Any member on another machine will do as a seed; with several, \
one that answers is enough, and this node itself is left out. Without a seed, those in agent.toml are asked.

The token comes from `lvs-agent init` or `lvs-agent token create`. It proves the cluster to this node, and this node to the cluster. On the command line every user of \
this machine can see it while the command runs; --token-file and LVS_AGENT_TOKEN keep it to yourself.

A member that has its disk needs no token, not even with a new address. One that lost its disk joins again in the same way, under its old name, with \
a token for all the roles that it had, as soon as it is not heard any more. One that was off while the CA was replaced, so that nobody trusts it any more (`status` says \
so), runs `join` with a new token, too: it keeps its data and its place.

Examples:
  lvs-agent join 10.0.0.11 --token lvs1_4f0k...
  lvs-agent join 10.0.0.11,10.0.0.12:7400 --token-file token.txt
  ssh d1 lvs-agent token create --json | jq -r .token | lvs-agent join 10.0.0.11 --token-file -
  lvs-agent join --timeout 300                # the seeds of agent.toml; the node's keys were put back from a backup";

pub(super) const LEAVE_HELP: &str = "\
Takes this node out of its cluster for good: a director hands its VIPs over, a real server takes its VIPs off `lo` and gets its former sysctls back; its keys are \
wiped. To stop the agent for a while, stop its service instead. For a node that is dead: `lvs-agent node remove NAME` on a director. Refused for the last director while \
there are other nodes, and while the others would have no majority without this one. Where the cluster ends with this node because it is the only one, or no other \
director is heard, it says what is lost and asks; where there is no terminal to ask on, it wants --yes.

With --force it asks and tells nobody: it does the same on this machine, and only here. VIPs are given up, `lo` and sysctls put back, keys, certificates and this node's \
copy of the log wiped; on the last director that has the CA's key, that key is gone for good. A cluster that goes on still counts the node as a member, and as a voter if \
it was one, until `lvs-agent node remove NAME` is run on a director or the node joins again.

Exit codes: 0 left; 1 left, but not everything could be put back (the error says what), or not left, as you answered; 2 nobody to ask: say --yes; 3 no agent runs here; 4 no quorum to leave with, or no answer in time: run it again; \
5 refused, nothing was changed.

Examples:
  lvs-agent leave
  lvs-agent leave --yes                       # without asking, for scripts
  lvs-agent leave --json                      # the node, the cluster that it has left, whether the others were told
  lvs-agent leave --force                     # the cluster is no more, or was founded anew";

pub(super) const WITHDRAW_HELP: &str = "\
Takes this node out of service for maintenance, or before the package is removed, and puts back what the agent changed on this machine. The node says that it takes no \
traffic and no VIPs, a director hands its VIPs over, requests that were begun may end; then the cluster's services go out of its kernel, its VIPs off `lo`, and the \
sysctls are what they were before. From then on the agent puts nothing in place here. The node stays a member that votes and is heard: `systemctl restart lvs-agent`, or a \
reboot, puts it back in service. To take it out of the cluster: `lvs-agent leave`.

Where no agent runs, the command does that by itself from the records in the data directory: after a crash, for example. Without a quorum it works as well. In no \
cluster there is nothing to withdraw, which is no error.

Exit codes: 0 done, or nothing to do; 1 not everything could be put back (the error says what): run it again; 3 a guard runs here and its worker does not answer.

Examples:
  lvs-agent withdraw
  lvs-agent withdraw --json | jq .changes
  lvs-agent withdraw && systemctl stop lvs-agent      # before work on the machine";

pub(super) const RESTART_HELP: &str = "\
Restarts this node's agent so that no request fails; the package does it after an upgrade. One node after the other: it waits until the others can spare this one, so that \
a majority of the voters is heard without it, another director can take the VIPs that it holds, and no other node is just being restarted. Then it has the worker replaced, \
which moves no VIP, waits until that has the rules in the kernel again, and has systemd restart the service, whose guard gives its VIPs to other directors first.

Before anything stops it compares the formats of this program with those of the agent that runs: nodes of two versions that would not understand each other are refused. \
Where systemd does not run the agent, only the worker is replaced.

Exit codes: 0 done, or the worker is replaced where systemd does not run the agent; 1 the agent is not back (the error says what to do); 3 no agent answers; 4 the \
others could not spare this node in time; 5 refused: the versions cannot work together, or nobody else could take its VIPs or vote.

Examples:
  lvs-agent restart
  lvs-agent restart --timeout 300
  lvs-agent restart --force                   # whatever the others say
  lvs-agent restart --json | jq -r .version";

pub(super) const TOKEN_HELP: &str = "\
A join token lets nodes into the cluster that are not in it yet: so many, until then, with these roles. The cluster itself does not keep it, only what it needs to \
recognise it; a lost token cannot be shown again.

Examples:
  lvs-agent token create
  lvs-agent token list
  lvs-agent token revoke 5f0c2a9e11d3b7a4";

pub(super) const TOKEN_CREATE_HELP: &str = "\
Makes a join token and prints the line to run on the new nodes. A node that joins with it may have those of the token's roles that its agent.toml asks for.

Examples:
  lvs-agent token create                              # one real server, within an hour
  lvs-agent token create --uses 30 --ttl 1d
  lvs-agent token create --roles director,real-server
  lvs-agent token create --json | jq -r .token";

pub(super) const TOKEN_LIST_HELP: &str = "\
Shows the tokens with which nodes can still join, by their names; the tokens themselves are known to nobody here.

Example:
  lvs-agent token list";

pub(super) const TOKEN_REVOKE_HELP: &str = "\
Makes a token worthless at once. Nodes that have joined with it stay.

Example:
  lvs-agent token revoke 5f0c2a9e11d3b7a4";

pub(super) const NODE_HELP: &str = "\
Members of the cluster: who they are, and changes to others than the node that one is on.

Examples:
  lvs-agent node list
  lvs-agent node remove r7
  lvs-agent node allow r7
  lvs-agent node rename-roles r3 --roles real-server,witness";

pub(super) const NODE_LIST_HELP: &str = "\
Shows the members: where they are, what they do, whether they are heard, whether they vote and why, and until when their certificate lasts (it renews itself). On a \
node that is in no cluster it fails with 5, as all commands do but init, join, status and version.

Examples:
  lvs-agent node list
  lvs-agent node list --json | jq -r '.[] | select(.reachable | not) | .name'";

pub(super) const NODE_REMOVE_HELP: &str = "\
Takes a node out of the cluster for good, dead or alive. Its certificate is worth nothing at once, and the keys that it knows are replaced. What the agent set up on it \
stays until `lvs-agent leave` is run there. To come back it needs a token. Refused while the others would have no majority without it.

Where certificates come from your own CA ([tls] in agent.toml), the name is kept out, member or not, until `lvs-agent node allow NAME`.

Examples:
  lvs-agent node remove r7
  lvs-agent node remove r7 --yes              # without asking, for scripts";

pub(super) const NODE_ALLOW_HELP: &str = "\
Lets a node in again that was removed from a cluster whose certificates come from your own CA ([tls] in agent.toml). Its certificate is as good as before, so removing it bars \
its name; this takes the bar away. It does not make the node a member: that is `lvs-agent join SEED` on it, after `lvs-agent leave` if it still has the cluster's data. \
`lvs-agent node list` shows who is barred. In a cluster with a CA of its own a removed node comes back with a token instead.

Examples:
  lvs-agent node allow r7
  lvs-agent node allow r7 --json";

pub(super) const NODE_ROLES_HELP: &str = "\
Gives a node other roles, all of them at once. The cluster's word counts, not the node's agent.toml; change that too, or `status` keeps reminding you. The node fetches a \
new certificate by itself.

Examples:
  lvs-agent node rename-roles r3 --roles director,real-server
  lvs-agent node rename-roles d3 --roles witness";

pub(super) const KEYS_HELP: &str = "\
The keys that seal gossip and leases between the nodes.

Example:
  lvs-agent keys rotate";

pub(super) const KEYS_ROTATE_HELP: &str = "\
Replaces the key that seals gossip and leases, without a gap: the new one goes to all nodes, then it is used, then the old one ends. The cluster does that by itself; this \
command watches. A node that is not heard while that goes on gets the new key when it is back.

It happens by itself when a node leaves or is removed.

Examples:
  lvs-agent keys rotate
  lvs-agent keys rotate --no-wait             # begin only; `lvs-agent status` shows the rest";

pub(super) const CA_HELP: &str = "\
The cluster's CA, which signs the certificates of nodes and remote identities.

Example:
  lvs-agent ca rotate";

pub(super) const CA_ROTATE_HELP: &str = "\
Replaces the cluster's CA and the certificates of all nodes, without a gap: all nodes trust the new CA, then it signs, then all get new certificates, then the old CA ends. \
The cluster does that by itself; this command watches.

With the old CA end the join tokens and the remote identities that were made under it: make new ones.

Examples:
  lvs-agent ca rotate
  lvs-agent ca rotate --timeout 1800
  lvs-agent ca rotate --no-wait               # begin only; `lvs-agent status` shows the rest";

pub(super) const IDENTITY_HELP: &str = "\
A remote identity is a person or a program that may use the API of this cluster's agents from afar, with --server and a certificate. An agent offers that where its \
agent.toml says so:

  [api]
  listen = \"0.0.0.0:7443\"

Examples:
  lvs-agent identity create grafana --read-only
  lvs-agent --server d1:7443 --cert grafana.pem status
  lvs-agent identity revoke grafana";

pub(super) const IDENTITY_CREATE_HELP: &str = "\
Makes a certificate for the remote API and writes it, its private key and the cluster's CA to one file that only you can read. The key is kept nowhere else. The same name \
again makes a new certificate; the old one is worth nothing from then on.

With --read-only (the default) it may ask for status, node list, plan, export and version; with --admin it may do all that can be done from afar.

Examples:
  lvs-agent identity create grafana                   # writes grafana.pem
  lvs-agent identity create ann --admin --ttl 90d --output ann.pem
  lvs-agent --server d1:7443 --cert ann.pem apply cluster.toml";

pub(super) const IDENTITY_LIST_HELP: &str = "\
Shows who may use the remote API, and until when.

Example:
  lvs-agent identity list";

pub(super) const IDENTITY_REVOKE_HELP: &str = "\
Makes an identity's certificate worthless at once, on all nodes.

Example:
  lvs-agent identity revoke grafana";

pub(super) const STATUS_HELP: &str = "\
Shows the cluster as this node knows it: members, VIP holders, services, servers, and how each observer voted; who votes in the cluster's log and why; which keys are in \
use. It works on any node, with or without a quorum.

A server is `in` when it gets new connections. `suspect` is an observer whose last probe failed; `(stale)` marks the vote of an observer that is not heard, which does not \
count.

The JSON field names are stable: fields are added, never renamed.

Examples:
  lvs-agent status
  lvs-agent status --watch
  lvs-agent status --watch 0.5
  lvs-agent status --json | jq -r '.vips[] | .name + \" \" + .holder'";

pub(super) const PLAN_HELP: &str = "\
Shows what `lvs-agent apply FILE` would change, and changes nothing. All errors of the file are shown at once. A file without any [[vip]] is one, unless \
--prune says that all rules shall go.

It warns, on stderr, of what is legal and hardly meant, as far as the node that answers knows the cluster: a server at whose address no member is (it gets no \
traffic), an interface that directors do not have, a VIP that is a machine's address. With --strict, warnings are a refusal: exit code 5.

Examples:
  lvs-agent plan cluster.toml
  lvs-agent plan --exit-code cluster.toml || echo 'not what the cluster has'
  lvs-agent plan --strict cluster.toml && lvs-agent apply --strict cluster.toml
  lvs-agent plan --offline cluster.toml      # checks the file only; needs no agent";

pub(super) const APPLY_HELP: &str = "\
Makes a cluster file the rules of the whole cluster, in one step: all of it or, if anything is wrong, none of it. What the file no longer mentions is removed. Applying the same file again \
changes nothing. A file without any [[vip]] is refused, with or without rules in the cluster: to delete all of them say --prune.

It warns as `plan` does, and goes on: a VIP whose interface no director has is given up at once, whoever holds it. With --strict, warnings are a refusal, decided by the \
agent before anything is changed: exit code 5.

Examples:
  lvs-agent apply cluster.toml
  lvs-agent apply --strict cluster.toml          # not if there is anything to be warned of
  lvs-agent export | sed 's/weight = 1$/weight = 2/' | lvs-agent apply -
  lvs-agent apply --if-revision 7 cluster.toml   # only if nobody applied in between
  lvs-agent apply --prune empty.toml             # deletes all rules";

pub(super) const VERSION_HELP: &str = "\
Says which program this is, and which version the agent that is asked runs; without an agent, why none answers. --json adds the versions of the formats in which nodes \
must agree to work together (`formats`, `agent_formats`).

Examples:
  lvs-agent version
  lvs-agent version --json | jq -r .agent";

pub(super) const EXPORT_HELP: &str = "\
Writes the cluster's rules as a cluster file. Applying it changes nothing; of a cluster without rules it has none, and `apply` takes that with --prune only.

Examples:
  lvs-agent export > cluster.toml
  lvs-agent export --output cluster.toml";

pub(super) const RUN_HELP: &str = "\
Runs the agent in the foreground, as a service manager wants it. Needs root. It listens on `address` of agent.toml (and its guard on the next port), on the admin socket, \
and on `[api] listen` where that is set. SIGTERM and SIGINT end it; SIGHUP makes it read the files of [tls] at once instead of within a minute.

Minimal agent.toml:
  roles = [\"director\"]
  address = \"10.0.0.11\"

Examples:
  lvs-agent run
  LVS_AGENT_LOG=debug lvs-agent run
  lvs-agent run --log-format json";
