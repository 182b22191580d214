//! Nodes and their roles.

use super::{
    key::PublicKey,
    name::{NodeName, ZoneName},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, net::SocketAddr, str::FromStr};

/// A node's number in Raft and in the lease. The cluster gives it at join, and never to another node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A role: what a node does in the cluster. A node may have several.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Forwards with IPVS and may hold VIPs.
    Director,
    /// Answers requests; has the VIPs of its services on `lo`.
    RealServer,
    /// Observes and votes; carries no traffic.
    Witness,
}

impl Role {
    /// Every role, in the order in which they are shown.
    pub const ALL: [Role; 3] = [Role::Director, Role::RealServer, Role::Witness];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Director => "director",
            Role::RealServer => "real-server",
            Role::Witness => "witness",
        })
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| format!("`{text}` is not a role: use director, real-server or witness"))
    }
}

/// The set of roles of one node, never empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Role>", into = "BTreeSet<Role>")]
pub struct Roles(BTreeSet<Role>);

impl TryFrom<BTreeSet<Role>> for Roles {
    type Error = &'static str;
    fn try_from(roles: BTreeSet<Role>) -> Result<Self, Self::Error> {
        Roles::new(roles).ok_or("a node has at least one role")
    }
}

impl From<Roles> for BTreeSet<Role> {
    fn from(roles: Roles) -> Self {
        roles.0
    }
}

impl Roles {
    /// `None` for an empty set: a node without a role does nothing.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Option<Self> {
        let roles: BTreeSet<Role> = roles.into_iter().collect();
        (!roles.is_empty()).then_some(Self(roles))
    }

    /// Whether the node has `role`.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// The roles, directors first.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.iter().map(|role| role.to_string()).collect();
        f.pad(&words.join(", "))
    }
}

/// A member, as the replicated state lists it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its roles.
    pub roles: Roles,
    /// The address at which it receives gossip (UDP) and Raft (TCP). Its guard listens on UDP at the next port, see [`NodeRecord::guard_addr`].
    pub addr: SocketAddr,
    /// Its zone, if its configuration names one.
    pub zone: Option<ZoneName>,
    /// The public key of its node key, which signs its datagrams, its node state and its certificate request.
    pub key: PublicKey,
}

impl NodeRecord {
    /// The address at which the node's guard receives lease messages: the port after that of [`NodeRecord::addr`].
    pub fn guard_addr(&self) -> SocketAddr {
        guard_addr(self.addr)
    }
}

/// The guard's address of the node whose gossip and Raft address is `addr`. Configured ports end at 65534, so that there is a next one.
pub fn guard_addr(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), addr.port().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_roles_are_never_read_as_roles() {
        assert!(serde_json::from_str::<Roles>("[]").unwrap_err().to_string().contains("at least one role"));
        let roles = Roles::new([Role::Director, Role::Witness]).unwrap();
        assert_eq!(serde_json::to_string(&roles).unwrap(), r#"["director","witness"]"#);
        assert_eq!(serde_json::from_str::<Roles>(r#"["witness","director"]"#).unwrap(), roles);
    }
}
