//! Who is on the other side of a connection, and what it may ask. Pure.

use super::hello::HelloRefusal;
use crate::{
    link::certificate::{Certificate, Subject},
    model::{NodeId, NodeName, NodeRecord, Role},
    rules::ClusterState,
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A member as it was when this node joined: whom to believe before there is any state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BootstrapPeer {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Where it was.
    pub addr: SocketAddr,
}

/// What this node knows of who belongs to the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The cluster.
    pub cluster_id: &'a str,
    /// The replicated state; its `cluster_id` is empty before there is any.
    pub state: &'a ClusterState,
    /// Who counts until then.
    pub met: &'a [BootstrapPeer],
}

/// Who is on the other side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerStatus {
    /// A member.
    Member {
        /// As the state knows it.
        record: NodeRecord,
        /// Its certificate and its record both say that it is a director.
        director: bool,
    },
    /// One that was a member when this node joined; there is no state yet.
    Bootstrap,
    /// One whose number was not given yet as far as this node knows: it joined while this node was away, or a moment ago. A leader may be such a
    /// one, and without hearing it this node would never learn of it. The number is in the certificate; where it is not, because that comes from
    /// somebody else's CA, the name must be a member's: else whoever has a certificate could choose a number and be heard.
    Later,
}

impl Known<'_> {
    /// Who shows `certificate` and says that it has the number `says`. TLS has found the certificate good.
    ///
    /// # Errors
    /// Why it is not heard.
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

    /// `vouched`: by the CA, for this number, or by this node's own knowledge of the name. Who is refused is not told that it was removed: of numbers
    /// above those that it knows, this node knows nothing.
    fn later(&self, vouched: bool, name: &NodeName) -> Result<PeerStatus, HelloRefusal> {
        match (vouched, self.state.security.barred.has(name)) {
            (true, _) => Ok(PeerStatus::Later),
            (false, true) => Err(HelloRefusal::Barred { name: name.clone() }),
            (false, false) => Err(HelloRefusal::Unknown { name: name.clone() }),
        }
    }

    fn status_before_state(&self, name: &NodeName, id: Option<NodeId>, says: NodeId) -> Result<PeerStatus, HelloRefusal> {
        if self.met.iter().any(|met| met.id == says && met.name == *name) {
            return Ok(PeerStatus::Bootstrap);
        }
        let last = self.met.iter().map(|met| met.id).max().unwrap_or_default();
        if says > last {
            return self.later(id.is_some() || self.met.iter().any(|met| met.name == *name), name);
        }
        Err(HelloRefusal::Removed { id: says, barred: None })
    }

    /// What the member with this number is called.
    pub fn name_of(&self, id: NodeId) -> Option<NodeName> {
        let met = || self.met.iter().find(|met| met.id == id).map(|met| met.name.clone());
        self.state.node_by_id(id).map(|record| record.name.clone()).or_else(met)
    }
}

/// Whether a node may say that it is there. Whether it is, only those who try to reach it find out.
pub fn is_plausible(addr: SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || is_broadcast || addr.port() == 0)
}

#[cfg(test)]
mod tests;
