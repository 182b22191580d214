//! A member, as gossip looks it up by the name in a word.

use crate::{
    model::{NodeId, NodeName, PublicKey},
    rules::security::PeerKeys,
};
use std::net::SocketAddr;

/// See the file's first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PeerKey {
    /// Its number.
    pub id: NodeId,
    /// Where it gossips; from elsewhere it is not heard.
    pub addr: SocketAddr,
    /// What its word is signed with.
    pub key: PublicKey,
}

impl PeerKey {
    /// The member of that name.
    pub fn called(name: &str, speakers: &PeerKeys) -> Option<Self> {
        let id = *speakers.names.get(&name.parse::<NodeName>().ok()?)?;
        let (addr, key) = *speakers.members.get(&id)?;
        Some(Self { id, addr, key })
    }

    /// It may have moved, and is still the same node.
    pub fn is_same_node(&self, other: &Self) -> bool {
        (self.id, self.key) == (other.id, other.key)
    }
}
