//! Finds out what the other side of a connection is to this node: a member, a bootstrap peer, or one that joined later. Pure.

use super::hello::HelloRefusal;
use crate::{
    link::certificate::{Certificate, Subject},
    model::{NodeId, NodeName, NodeRecord, Role},
    rules::ClusterState,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A bootstrap peer: a member as it was when this node joined. This node trusts it before it has the replicated state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootstrapPeer {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its address at that time.
    pub addr: SocketAddr,
}

/// The members of the cluster, as far as this node knows.
#[derive(Clone, Copy, Debug)]
pub struct KnownMembers<'a> {
    /// The cluster.
    pub cluster_id: &'a str,
    /// The replicated state; its `cluster_id` is empty before there is any.
    pub state: &'a ClusterState,
    /// The members that count until there is a state.
    pub bootstrap_peers: &'a [BootstrapPeer],
}

/// What the other side of a connection is to this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerStatus {
    /// A member.
    Member {
        /// Its record in the state.
        record: NodeRecord,
        /// Its certificate and its record both say that it is a director.
        director: bool,
    },
    /// One that was a member when this node joined; there is no state yet.
    Bootstrap,
    /// A node with a number that this node does not know yet: it joined while this node was away, or a moment ago. The leader may be such a node,
    /// and this node learns of it only from the leader. The certificate has the number. With an external CA it has none, so there the name must be a
    /// member's: otherwise a holder of any certificate could choose a number.
    Later,
}

impl KnownMembers<'_> {
    /// The status of a node that shows `certificate` and says that it has the number `says`. TLS has verified the certificate.
    ///
    /// # Errors
    /// The reason for which its messages are refused.
    pub fn status(&self, certificate: &Certificate, says: NodeId) -> Result<PeerStatus, HelloRefusal> {
        let Subject::Node { name, id, roles } = &certificate.subject else {
            return Err(HelloRefusal::NotYou { says, certificate: "no node's".to_owned() });
        };
        let not_you = |certificate: String| HelloRefusal::NotYou { says, certificate };
        if certificate.cluster_id.as_deref().is_some_and(|theirs| theirs != self.cluster_id) {
            return Err(HelloRefusal::WrongCluster { theirs: self.cluster_id.to_owned() });
        }
        match id {
            Some(id) if *id != says => return Err(not_you(id.to_string())),
            None if self.state.security.authorities.issuing.is_some() => {
                return Err(not_you(format!("that of a {name} without a number")));
            }
            _ => {}
        }
        if self.state.cluster_id.is_empty() {
            return self.status_before_state(name, *id, says);
        }
        match self.state.nodes.get(name).filter(|record| record.id == says) {
            Some(record) if id.is_some() && certificate.key != Some(record.key) => {
                Err(not_you(format!("for another key than {name}'s")))
            }
            Some(record) => {
                let director = record.roles.has(Role::Director) && roles.has(Role::Director);
                Ok(PeerStatus::Member { record: record.clone(), director })
            }
            None if says.0 > self.state.next_node => self.later(id.is_some() || self.state.nodes.contains_key(name), name),
            None => {
                let barred = self.state.security.barred.has(name).then(|| name.clone());
                Err(HelloRefusal::Removed { id: says, barred })
            }
        }
    }

    /// `vouched`: the CA confirms this number, or this node knows the name. A refused node is not told that it was removed: this node knows nothing
    /// of numbers above those in its state.
    fn later(&self, vouched: bool, name: &NodeName) -> Result<PeerStatus, HelloRefusal> {
        match (vouched, self.state.security.barred.has(name)) {
            (true, _) => Ok(PeerStatus::Later),
            (false, true) => Err(HelloRefusal::Barred { name: name.clone() }),
            (false, false) => Err(HelloRefusal::Unknown { name: name.clone() }),
        }
    }

    fn status_before_state(&self, name: &NodeName, id: Option<NodeId>, says: NodeId) -> Result<PeerStatus, HelloRefusal> {
        if self.bootstrap_peers.iter().any(|met| met.id == says && met.name == *name) {
            return Ok(PeerStatus::Bootstrap);
        }
        let last = self.bootstrap_peers.iter().map(|met| met.id).max().unwrap_or_default();
        if says > last {
            return self.later(id.is_some() || self.bootstrap_peers.iter().any(|met| met.name == *name), name);
        }
        Err(HelloRefusal::Removed { id: says, barred: None })
    }

    /// The name of the member with this number.
    pub fn name_of(&self, id: NodeId) -> Option<NodeName> {
        let met = || self.bootstrap_peers.iter().find(|met| met.id == id).map(|met| met.name.clone());
        self.state.node_by_id(id).map(|record| record.name.clone()).or_else(met)
    }
}

/// Checks that the address is a plausible unicast address; reachability is not checked.
pub fn is_plausible(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast || addr.port() == 0)
}

#[cfg(test)]
mod tests;
