//! The replicated state: members, rule set, committed verdicts.

use super::security::Security;
use crate::model::{
    NodeId, NodeName, NodeRecord, RealServer, ServerName, Service, ServiceName, TimingProfile, VipGroup, VipName,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// One real server of one service: what is observed, and what a verdict is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The service.
    pub service: ServiceName,
    /// The server in it.
    pub server: ServerName,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.server)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The rules: VIP groups and services. `config::cluster` has checked that they fit together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RuleSet {
    /// VIP groups by name.
    pub vips: BTreeMap<VipName, VipGroup>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, Service>,
}

impl RuleSet {
    /// Every real server of every service.
    pub fn targets(&self) -> impl Iterator<Item = (Target, &Service, &RealServer)> {
        self.services.values().flat_map(|service| {
            service
                .servers
                .values()
                .map(move |server| (Target { service: service.name.clone(), server: server.name.clone() }, service, server))
        })
    }
}

/// A committed verdict on a target. A target without one has not been judged since it came into the rule set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A majority of the observers found it up.
    Up,
    /// A majority of the observers found it down.
    Down,
}

/// The replicated state: all that the Raft log decides.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClusterState {
    /// Made at `init`; empty before the first entry is applied.
    pub cluster_id: String,
    /// The cluster's timing profile, fixed at `init`.
    pub timing: TimingProfile,
    /// Grows by one with every change of `rules`.
    pub revision: u64,
    /// The rules, as last applied.
    pub rules: RuleSet,
    /// Committed verdicts, each with the votes of its last change.
    pub verdicts: BTreeMap<Target, (Verdict, String)>,
    /// Members by name.
    pub nodes: BTreeMap<NodeName, NodeRecord>,
    /// CAs, gossip keys, tokens, remote identities, barred names.
    pub security: Security,
    /// The number that was given last. A number is never given twice.
    pub next_node: u64,
}

impl ClusterState {
    /// The member with this number.
    pub fn node_by_id(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.values().find(|node| node.id == id)
    }

    /// The member whose address this is: its agent is the agent of a real server there.
    pub fn node_at(&self, address: IpAddr) -> Option<&NodeRecord> {
        self.nodes.values().find(|node| node.addr.ip() == address)
    }
}
