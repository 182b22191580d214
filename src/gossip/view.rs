//! What this node says, and what it has heard of the others.

use crate::{
    model::{Holding, NodeName, Roles, VipName},
    rules::Target,
    verdict::{Observation, Testimonies, Testimony},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// What it does.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// The agent's version.
    pub version: String,
    /// What its kernel can do for LVS, for example `ip_vs 1.2.1`.
    pub kernel: Vec<String>,
}

/// All that this node publishes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Of itself.
    pub facts: Facts,
    /// What its probes say.
    pub observations: BTreeMap<Target, Observation>,
    /// Real servers: for each VIP group they serve, whether the VIP is on `lo` and ARP is silenced. `Err` says what is in the way.
    pub in_place: BTreeMap<VipName, Result<(), String>>,
    /// Directors: what their guard says.
    pub holding: BTreeMap<VipName, Holding>,
    /// The rules' revision that its kernel has.
    pub revision: u64,
}

/// What is known of one node. It stays known, with `live` false, when the node falls silent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeView {
    /// Its heartbeat is heard.
    pub live: bool,
    /// Its own facts, once they have been heard.
    pub facts: Option<Facts>,
    /// What its probes say.
    pub observations: BTreeMap<Target, Observation>,
    /// See [`Word::in_place`].
    pub in_place: BTreeMap<VipName, Result<(), String>>,
    /// See [`Word::holding`].
    pub holding: BTreeMap<VipName, Holding>,
    /// See [`Word::revision`].
    pub revision: u64,
}

/// What is known of all nodes, this one among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClusterView {
    /// By name.
    pub nodes: BTreeMap<NodeName, NodeView>,
}

impl ClusterView {
    /// What the nodes say of targets, as verdicts are made from it.
    pub fn testimonies(&self) -> Testimonies<'_> {
        self.nodes.iter().map(|(name, view)| (name, Testimony { live: view.live, observations: &view.observations })).collect()
    }

    /// The nodes whose heartbeat is heard, this one among them.
    pub fn live(&self) -> BTreeSet<NodeName> {
        self.nodes.iter().filter(|(_, view)| view.live).map(|(name, _)| name.clone()).collect()
    }
}
