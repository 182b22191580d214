//! Commands: the entries of the Raft log that change the replicated state.

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
    /// The real server that is judged.
    pub target: Target,
    /// The new verdict.
    pub to: Verdict,
    /// The votes in one line.
    pub why: String,
}

/// A node that joins, or a member that joins again or has moved.
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
    /// The public key of what it signs with.
    pub key: PublicKey,
    /// It still has the Raft log of its former number, so it keeps that number.
    pub keeps_id: bool,
    /// The token that lets it in; `None` for a member that only changes, and for a node with a certificate of an external CA.
    pub token: Option<TokenUse>,
}

/// One entry of the log. Applying it is atomic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// First entry of a cluster.
    Init {
        /// The cluster's identity.
        cluster_id: String,
        /// Its timing profile.
        timing: TimingProfile,
        /// Its first CA and gossip key.
        founding: Founding,
    },
    /// The rule set of a cluster file replaces the former one.
    Apply {
        /// The revision that the rule set was made for. The command is refused if the state has another one by then.
        base_revision: Option<u64>,
        /// The whole rule set.
        rules: RuleSet,
    },
    /// Verdicts change.
    Verdicts(Vec<VerdictChange>),
    /// A node becomes a member, or comes back with an empty disk (a new number for an old name), or with another address, zone or key.
    NodeJoined(Joining),
    /// An administrator gives a member other roles.
    NodeRoles {
        /// The member.
        name: NodeName,
        /// Its roles from now on.
        roles: Roles,
    },
    /// A member leaves the cluster for good, of its own accord.
    NodeLeft(NodeName),
    /// Security state changes: CAs, gossip keys, tokens, remote identities, barred names.
    Security(SecurityChange),
    /// An administrator removes a node for good. With an external CA its name is barred, also when the node left before it could be removed.
    NodeRemoved(NodeName),
}

impl Command {
    /// The command as the leader proposes it. The end of a new token is counted by the leader's clock, because the leader's clock also decides
    /// whether a token that is used has expired.
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
