//! Entries of the Raft log.

use super::state::{RuleSet, Target, Verdict};
use crate::model::{NodeName, Roles, TimingProfile};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// A target's verdict changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edge {
    /// Who is judged.
    pub target: Target,
    /// The new verdict.
    pub to: Verdict,
    /// Why, in one line: the votes.
    pub why: String,
}

/// One entry of the log. Applying it is atomic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RuleChange {
    /// First entry of a cluster.
    Init {
        /// The cluster's identity.
        cluster_id: String,
        /// Its rhythm.
        timing: TimingProfile,
    },
    /// An operator's rule set replaces the former one.
    Apply {
        /// The revision that the operator looked at; refused when the state has moved on.
        base_revision: Option<u64>,
        /// All of it.
        rules: RuleSet,
    },
    /// Verdicts change.
    Verdicts(Vec<Edge>),
    /// A node becomes a member, or comes back with an empty disk (a new number for an old name), or with other roles or address.
    NodeJoined {
        /// Its name.
        name: NodeName,
        /// Its roles.
        roles: Roles,
        /// Its gossip and Raft address.
        addr: SocketAddr,
        /// The number it had and still has the log of, if any.
        keeps_id: bool,
    },
    /// A member goes for good.
    NodeLeft(NodeName),
}

impl fmt::Display for RuleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleChange::Init { cluster_id, .. } => write!(f, "init {cluster_id}"),
            RuleChange::Apply { rules, .. } => write!(f, "apply {} services", rules.services.len()),
            RuleChange::Verdicts(edges) => write!(f, "{} verdicts", edges.len()),
            RuleChange::NodeJoined { name, .. } => write!(f, "node {name} joined"),
            RuleChange::NodeLeft(name) => write!(f, "node {name} left"),
        }
    }
}
