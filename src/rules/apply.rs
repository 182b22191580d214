//! Applies a command to the replicated state. The same command on the same state gives the same state on every node.

use super::{
    change::{Command, Joining, VerdictChange},
    security::{Founding, Security, SecurityRefusal},
    state::{ClusterState, RuleSet},
};
use crate::model::{NodeId, NodeName, NodeRecord, Role, Roles, TimingProfile};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

/// Most members. With so many the gossip digest still fits chitchat's message, even if each of them has the longest name and appears with two
/// starts (`gossip/validation.rs`).
pub const MAX_MEMBERS: usize = 280;

/// Why a committed command was not applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum CommandRefusal {
    /// The rules have changed since the command was made.
    #[error("the rules are at revision {current}, the change was made for revision {base}: look at `lvs-agent plan` again")]
    Stale {
        /// The revision that the command was made for.
        base: u64,
        /// The revision that the cluster has.
        current: u64,
    },
    /// The address belongs to another member.
    #[error(
        "address {addr} belongs to node {owner} already: give this node another `address`, or take the old one out: `lvs-agent leave` there, or \
         `lvs-agent node remove {owner}` on a director"
    )]
    AddressTaken {
        /// The address.
        addr: String,
        /// The member that has it.
        owner: NodeName,
    },
    /// No such member.
    #[error("no node is called {0}")]
    NoSuchNode(NodeName),
    /// A VIP would be the own address of a node, which would lose it.
    #[error(
        "{address} is a VIP and the address of node {node}: give the node another `address` in its agent.toml, or the group another one in the cluster file"
    )]
    VipIsNode {
        /// The address.
        address: IpAddr,
        /// The node that has it.
        node: NodeName,
    },
    /// The security state refuses the change.
    #[error(transparent)]
    Security(#[from] SecurityRefusal),
    /// The cluster exists already.
    #[error("the cluster is initialised already")]
    Initialised,
    /// The node's name is barred.
    #[error(
        "{0} was removed from this cluster: if it shall come back, run `lvs-agent node allow {0}` on a director, and then the same `lvs-agent join` on it"
    )]
    Barred(NodeName),
    /// The members that stay would have no director.
    #[error(
        "{0} is the only director: give another node that role first (`lvs-agent node rename-roles`, or `lvs-agent join` a director), or take the others out"
    )]
    OnlyDirector(NodeName),
    /// With an external CA, roles come from certificates.
    #[error(
        "roles come from the certificates of your own ca here: have one made for {0} that says them, write them into its agent.toml, and run \
         `lvs-agent leave` and `lvs-agent join SEED` on it"
    )]
    RolesFromCertificate(NodeName),
    /// A node with another key would replace a member, with a token that does not cover all roles of that member.
    #[error(
        "{name} is a member as {has}, with another key than this node's: to take its place, run `lvs-agent token create --roles {has}` on a director \
         and join with that token; to be another node, set another `node` in agent.toml"
    )]
    Replaces {
        /// The name.
        name: NodeName,
        /// The member's roles, separated by commas.
        has: String,
    },
    /// The cluster has as many members as gossip has room for.
    #[error(
        "the cluster has {0} members already, as many as their gossip has room for: remove those that are gone (`lvs-agent node remove NAME`), or make \
         another cluster"
    )]
    Full(usize),
}

impl ClusterState {
    /// Applies one command. Returns the number of the node that it was about, if it was about one.
    ///
    /// # Errors
    /// A [`CommandRefusal`]; nothing was changed then.
    pub fn apply(&mut self, change: &Command) -> Result<Option<NodeId>, CommandRefusal> {
        match change {
            Command::Init { cluster_id, timing, founding } => self.init(cluster_id, *timing, founding),
            Command::Apply { base_revision, rules } => self.replace_rules(*base_revision, rules),
            Command::Verdicts(changes) => {
                self.judge(changes);
                Ok(None)
            }
            Command::NodeJoined(joining) => self.join(joining).map(Some),
            Command::NodeRoles { name, roles } => self.give_roles(name, roles).map(Some),
            Command::NodeLeft(name) => self.leave(name).map(Some),
            Command::NodeRemoved(name) => self.remove(name),
            Command::Security(change) => {
                self.security.apply(change)?;
                Ok(None)
            }
        }
    }

    fn join(&mut self, joining: &Joining) -> Result<NodeId, CommandRefusal> {
        self.check_joining(joining)?;
        let Joining { name, roles, addr, zone, key, keeps_id, token } = joining;
        if let Some(token) = token {
            self.security.use_token(token, roles)?;
        }
        let known = self.nodes.get(name);
        // The node that had the name until now knows the gossip keys, and is no longer a member.
        let replaces = known.is_some_and(|known| known.key != *key);
        let id = match known {
            Some(known) if *keeps_id => known.id,
            _ => self.new_id(),
        };
        if replaces {
            self.security.keyring.somebody_left();
        }
        let record = NodeRecord { id, name: name.clone(), roles: roles.clone(), addr: *addr, zone: zone.clone(), key: *key };
        self.nodes.insert(name.clone(), record);
        Ok(id)
    }

    /// Checks whether a node may join, or join again. Changes nothing.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_joining(&self, joining: &Joining) -> Result<(), CommandRefusal> {
        let Joining { name, roles, addr, key, token, .. } = joining;
        if self.security.barred.has(name) {
            return Err(CommandRefusal::Barred(name.clone()));
        }
        if let Some(owner) = self.nodes.values().find(|node| node.name != *name && is_same_machine(node.addr, *addr)) {
            return Err(CommandRefusal::AddressTaken { addr: addr.to_string(), owner: owner.name.clone() });
        }
        let ip = addr.ip().to_canonical();
        if self.rules.vips.values().any(|group| group.addresses.contains(&ip)) {
            return Err(CommandRefusal::VipIsNode { address: ip, node: name.clone() });
        }
        if self.nodes.len() >= MAX_MEMBERS && !self.nodes.contains_key(name) {
            return Err(CommandRefusal::Full(MAX_MEMBERS));
        }
        if let Some(token) = token {
            let token = self.security.check_token(token, roles)?;
            let replaced = self.nodes.get(name).filter(|known| known.key != *key);
            if let Some(known) = replaced.filter(|known| !known.roles.iter().all(|role| token.roles.has(role))) {
                let has: Vec<String> = known.roles.iter().map(|role| role.to_string()).collect();
                return Err(CommandRefusal::Replaces { name: name.clone(), has: has.join(",") });
            }
        }
        self.check_directors(name, Some(roles))
    }

    fn give_roles(&mut self, name: &NodeName, roles: &Roles) -> Result<NodeId, CommandRefusal> {
        if self.security.is_foreign() && self.nodes.contains_key(name) {
            return Err(CommandRefusal::RolesFromCertificate(name.clone()));
        }
        self.check_directors(name, Some(roles))?;
        let node = self.nodes.get_mut(name).ok_or_else(|| CommandRefusal::NoSuchNode(name.clone()))?;
        node.roles = roles.clone();
        Ok(node.id)
    }

    fn leave(&mut self, name: &NodeName) -> Result<NodeId, CommandRefusal> {
        self.check_directors(name, None)?;
        let node = self.nodes.remove(name).ok_or_else(|| CommandRefusal::NoSuchNode(name.clone()))?;
        self.security.keyring.somebody_left();
        Ok(node.id)
    }

    fn remove(&mut self, name: &NodeName) -> Result<Option<NodeId>, CommandRefusal> {
        if !self.security.is_foreign() {
            return self.leave(name).map(Some);
        }
        self.check_directors(name, None)?;
        self.security.barred.add(name)?;
        // A node that left before it could be removed is barred, too.
        if self.nodes.contains_key(name) { self.leave(name).map(Some) } else { Ok(None) }
    }

    /// Checks that the other members keep a director. The last member of all may go. `after`: the roles that `name` will have.
    fn check_directors(&self, name: &NodeName, after: Option<&Roles>) -> Result<(), CommandRefusal> {
        let directs = |roles: &Roles| roles.has(Role::Director);
        let is_one = self.nodes.get(name).is_some_and(|node| directs(&node.roles));
        let mut others = self.nodes.values().filter(|node| node.name != *name).peekable();
        let is_last = after.is_none() && others.peek().is_none();
        if !is_one || is_last || after.is_some_and(directs) || others.any(|node| directs(&node.roles)) {
            return Ok(());
        }
        Err(CommandRefusal::OnlyDirector(name.clone()))
    }

    fn init(&mut self, cluster_id: &str, timing: TimingProfile, founding: &Founding) -> Result<Option<NodeId>, CommandRefusal> {
        if !self.cluster_id.is_empty() {
            return Err(CommandRefusal::Initialised);
        }
        self.cluster_id = cluster_id.to_owned();
        self.timing = timing;
        self.security = Security::found(founding);
        Ok(None)
    }

    fn new_id(&mut self) -> NodeId {
        self.next_node += 1;
        NodeId(self.next_node)
    }

    fn replace_rules(&mut self, base: Option<u64>, rules: &RuleSet) -> Result<Option<NodeId>, CommandRefusal> {
        if let Some(base) = base.filter(|base| *base != self.revision) {
            return Err(CommandRefusal::Stale { base, current: self.revision });
        }
        let vips: BTreeSet<IpAddr> = rules.vips.values().flat_map(|group| &group.addresses).copied().collect();
        if let Some(node) = self.nodes.values().find(|node| vips.contains(&node.addr.ip())) {
            return Err(CommandRefusal::VipIsNode { address: node.addr.ip(), node: node.name.clone() });
        }
        if self.rules == *rules {
            return Ok(None);
        }
        let before = std::mem::replace(&mut self.rules, rules.clone());
        self.revision += 1;
        let judged = |rules: &RuleSet| -> std::collections::BTreeMap<_, _> {
            rules
                .targets()
                .map(|(target, service, server)| (target, (service.check.clone(), server.address, server.port)))
                .collect()
        };
        let (old, new) = (judged(&before), judged(&self.rules));
        // A verdict is about one address and port. A target that has moved, or has gained or lost its check, is judged anew.
        self.verdicts.retain(|target, _| match (old.get(target), new.get(target)) {
            (Some((old_check, old_ip, old_port)), Some((new_check, new_ip, new_port))) => {
                (old_ip, old_port) == (new_ip, new_port) && old_check.is_some() && new_check.is_some()
            }
            _ => false,
        });
        Ok(None)
    }

    fn judge(&mut self, changes: &[VerdictChange]) {
        for change in changes {
            let known =
                self.rules.services.get(&change.target.service).is_some_and(|s| s.servers.contains_key(&change.target.server));
            // The rules may have changed between proposal and commit.
            if known {
                self.verdicts.insert(change.target.clone(), (change.to, change.why.clone()));
            }
        }
    }
}

/// Whether two addresses are of the same machine, whatever their ports: the agent of a real server is looked up by the server's address. On
/// loopback, which tests use, ports tell nodes apart.
fn is_same_machine(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    ip == other_ip && (!ip.is_loopback() || one.port() == other.port())
}

#[cfg(test)]
mod tests;
