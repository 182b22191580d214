//! How a change makes the next state. The same change on the same state gives the same state on every node.

use super::{
    change::{Edge, Joining, RuleChange},
    security::{Founding, Security, SecurityRefusal},
    state::{ClusterState, RuleSet},
};
use crate::model::{NodeId, NodeName, NodeRecord, TimingProfile};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::IpAddr};

/// Why a committed change left the state as it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Somebody else applied in between.
    #[error("the rules are at revision {current}, the change was made for revision {base}: look at `lvs-agent plan` again")]
    Stale {
        /// What the change was made for.
        base: u64,
        /// What the cluster has.
        current: u64,
    },
    /// The address belongs to another member.
    #[error(
        "address {addr} belongs to node {owner} already: give this node another `address`, or take the old one out with `lvs-agent leave` there"
    )]
    AddressTaken {
        /// The address.
        addr: String,
        /// Who has it.
        owner: NodeName,
    },
    /// No such member.
    #[error("no node is called {0}")]
    NoSuchNode(NodeName),
    /// A VIP would be taken off the machine whose own address it is.
    #[error("{address} is the address of node {node}: a VIP must be an address of its own")]
    VipIsNode {
        /// The address.
        address: IpAddr,
        /// Whose.
        node: NodeName,
    },
    /// Who may speak does not change so.
    #[error(transparent)]
    Security(#[from] SecurityRefusal),
    /// The cluster exists already.
    #[error("the cluster is initialised already")]
    Initialised,
}

impl ClusterState {
    /// Applies one change. The number is that of the node a `NodeJoined` was about.
    ///
    /// # Errors
    /// A [`Refusal`] says why nothing was changed.
    pub fn apply(&mut self, change: &RuleChange) -> Result<Option<NodeId>, Refusal> {
        match change {
            RuleChange::Init { cluster_id, timing, founding } => self.init(cluster_id, *timing, founding),
            RuleChange::Apply { base_revision, rules } => self.replace_rules(*base_revision, rules),
            RuleChange::Verdicts(edges) => {
                self.judge(edges);
                Ok(None)
            }
            RuleChange::NodeJoined(joining) => self.join(joining).map(Some),
            RuleChange::NodeRoles { name, roles } => {
                let node = self.nodes.get_mut(name).ok_or_else(|| Refusal::NoSuchNode(name.clone()))?;
                node.roles = roles.clone();
                Ok(Some(node.id))
            }
            RuleChange::NodeLeft(name) => {
                let node = self.nodes.remove(name).ok_or_else(|| Refusal::NoSuchNode(name.clone()))?;
                self.security.keyring.stale = true;
                Ok(Some(node.id))
            }
            RuleChange::Security(change) => {
                self.security.apply(change)?;
                Ok(None)
            }
        }
    }

    fn join(&mut self, joining: &Joining) -> Result<NodeId, Refusal> {
        let Joining { name, roles, addr, zone, key, keeps_id, token } = joining;
        if let Some(owner) = self.nodes.values().find(|node| node.addr == *addr && node.name != *name) {
            return Err(Refusal::AddressTaken { addr: addr.to_string(), owner: owner.name.clone() });
        }
        if self.rules.vips.values().any(|group| group.addresses.contains(&addr.ip())) {
            return Err(Refusal::VipIsNode { address: addr.ip(), node: name.clone() });
        }
        if let Some(token) = token {
            self.security.use_token(token, roles)?;
        }
        let id = match self.nodes.get(name) {
            Some(known) if *keeps_id => known.id,
            _ => self.new_id(),
        };
        let record = NodeRecord { id, name: name.clone(), roles: roles.clone(), addr: *addr, zone: zone.clone(), key: *key };
        self.nodes.insert(name.clone(), record);
        Ok(id)
    }

    fn init(&mut self, cluster_id: &str, timing: TimingProfile, founding: &Founding) -> Result<Option<NodeId>, Refusal> {
        if !self.cluster_id.is_empty() {
            return Err(Refusal::Initialised);
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

    fn replace_rules(&mut self, base: Option<u64>, rules: &RuleSet) -> Result<Option<NodeId>, Refusal> {
        if let Some(base) = base.filter(|base| *base != self.revision) {
            return Err(Refusal::Stale { base, current: self.revision });
        }
        let vips: BTreeSet<IpAddr> = rules.vips.values().flat_map(|group| &group.addresses).copied().collect();
        if let Some(node) = self.nodes.values().find(|node| vips.contains(&node.addr.ip())) {
            return Err(Refusal::VipIsNode { address: node.addr.ip(), node: node.name.clone() });
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
        // A verdict speaks of one address under one kind of check: a target that became another thing is judged afresh.
        self.verdicts.retain(|target, _| match (old.get(target), new.get(target)) {
            (Some((old_check, old_ip, old_port)), Some((new_check, new_ip, new_port))) => {
                (old_ip, old_port) == (new_ip, new_port) && old_check.is_some() && new_check.is_some()
            }
            _ => false,
        });
        Ok(None)
    }

    fn judge(&mut self, edges: &[Edge]) {
        for edge in edges {
            let known =
                self.rules.services.get(&edge.target.service).is_some_and(|s| s.servers.contains_key(&edge.target.server));
            // Rules may have changed between proposal and commit.
            if known {
                self.verdicts.insert(edge.target.clone(), (edge.to, edge.why.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
