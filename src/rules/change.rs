//! Entries of the Raft log.

use super::{
    security::{Founding, SecurityChange, Token, TokenUse},
    state::{RuleSet, Target, Verdict},
};
use crate::model::{NodeName, PublicKey, Roles, TimingProfile, ZoneName};
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// A target's verdict changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VerdictChange {
    /// Who is judged.
    pub target: Target,
    /// The new verdict.
    pub to: Verdict,
    /// Why, in one line: the votes.
    pub why: String,
}

/// A node as it joins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Joining {
    /// Its name.
    pub name: NodeName,
    /// Its roles.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// Its zone, if it has one.
    pub zone: Option<ZoneName>,
    /// What it signs with.
    pub key: PublicKey,
    /// It has the log of the number it had.
    pub keeps_id: bool,
    /// What let it in; nothing for a member that only changes, and for nodes with certificates of somebody else's CA.
    pub token: Option<TokenUse>,
}

/// One entry of the log. Applying it is atomic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// First entry of a cluster.
    Init {
        /// The cluster's identity.
        cluster_id: String,
        /// Its rhythm.
        timing: TimingProfile,
        /// Its first CA and gossip key.
        founding: Founding,
    },
    /// An operator's rule set replaces the former one.
    Apply {
        /// The revision that the operator looked at; refused when the state has moved on.
        base_revision: Option<u64>,
        /// All of it.
        rules: RuleSet,
    },
    /// Verdicts change.
    Verdicts(Vec<VerdictChange>),
    /// A node becomes a member, or comes back with an empty disk (a new number for an old name), or with another address, zone or key.
    NodeJoined(Joining),
    /// An administrator gives a member other roles.
    NodeRoles {
        /// Who.
        name: NodeName,
        /// What it does from now on.
        roles: Roles,
    },
    /// A member goes for good, of its own accord.
    NodeLeft(NodeName),
    /// Who may speak changes.
    Security(SecurityChange),
    /// An administrator takes a node out for good. Where certificates come from somebody else's CA, its name is barred, whether it is a member now
    /// or has left a moment ago.
    NodeRemoved(NodeName),
}

impl Command {
    /// As the leader has it written. How long a token lasts is counted by the leader's clock: that one is asked when it is used.
    pub fn by_clock(self, now_unix_s: u64) -> Self {
        match self {
            Command::Security(SecurityChange::TokenMade { id, token, at_unix_s }) => {
                let lasts_s = token.expires_unix_s.saturating_sub(at_unix_s);
                let token = Token { expires_unix_s: now_unix_s.saturating_add(lasts_s), ..token };
                Command::Security(SecurityChange::TokenMade { id, token, at_unix_s: now_unix_s })
            }
            other => other,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Init { cluster_id, .. } => write!(f, "init {cluster_id}"),
            Command::Apply { rules, .. } => write!(f, "apply {} services", rules.services.len()),
            Command::Verdicts(changes) => write!(f, "{} verdicts", changes.len()),
            Command::NodeJoined(joining) => write!(f, "node {} joined", joining.name),
            Command::NodeRoles { name, roles } => write!(f, "node {name} is {roles}"),
            Command::Security(_) => f.write_str("keys and tokens"),
            Command::NodeLeft(name) => write!(f, "node {name} left"),
            Command::NodeRemoved(name) => write!(f, "node {name} removed"),
        }
    }
}
