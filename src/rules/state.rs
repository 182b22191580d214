//! The replicated state: members, rule set, committed verdicts.

use super::security::Security;
use crate::model::{
    NodeId, NodeName, NodeRecord, RealServer, ServerName, Service, ServiceName, TimingProfile, VipGroup, VipName,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr};

/// One real server of one service: what is observed and judged.
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

/// What an operator applied: VIP groups and services. References between them hold (see `config::cluster`).
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

/// A committed judgement of a target. A target without one has not been judged since it came into the rule set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A majority of fresh observers said up.
    Up,
    /// A majority of fresh observers said down.
    Down,
}

/// All that the Raft log decides.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ClusterState {
    /// Made at `init`; empty before the first entry is applied.
    pub cluster_id: String,
    /// The cluster's timing profile, fixed at `init`.
    pub timing: TimingProfile,
    /// Grows by one with every change of `rules`.
    pub revision: u64,
    /// What operators applied.
    pub rules: RuleSet,
    /// Committed verdicts, with what the votes were at that change.
    pub verdicts: BTreeMap<Target, (Verdict, String)>,
    /// Members by name.
    pub nodes: BTreeMap<NodeName, NodeRecord>,
    /// Who may speak.
    pub security: Security,
    /// The next node's number. Numbers are never used again.
    pub next_node: u64,
}

impl ClusterState {
    /// The member with this number.
    pub fn node_by_id(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.values().find(|node| node.id == id)
    }

    /// The member that answers at `address`: the agent of a real server there.
    pub fn node_at(&self, address: IpAddr) -> Option<&NodeRecord> {
        self.nodes.values().find(|node| node.addr.ip() == address)
    }
}
