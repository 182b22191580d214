//! openraft's types as this cluster uses them, and how they translate to ours.

use crate::{
    model::{NodeId, NodeName, node::guard_addr},
    rules::{Command, CommandRefusal},
    vip::{LeaseMembership, MembershipId},
};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The result of applying an entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppliedEntry {
    /// The entry's place in the log: a node that has applied so far shows what it changed.
    pub index: u64,
    /// The rules' revision after it.
    pub revision: u64,
    /// The rules are others than before it.
    pub changed: bool,
    /// The number of the node that the change was about, if any, or why the state stayed as it was.
    pub result: Result<Option<NodeId>, CommandRefusal>,
}

/// A member in the Raft membership.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RaftMember {
    /// Its name; for people.
    pub name: NodeName,
    /// Its Raft address (TCP).
    pub addr: SocketAddr,
}

impl RaftMember {
    /// The address at which its guard receives lease messages.
    pub fn guard_addr(&self) -> SocketAddr {
        guard_addr(self.addr)
    }
}

/// openraft's storage suite makes nodes of nothing.
#[cfg(test)]
impl Default for RaftMember {
    fn default() -> Self {
        Self { name: "unknown".parse().unwrap(), addr: SocketAddr::from(([0, 0, 0, 0], 0)) }
    }
}

openraft::declare_raft_types!(
    /// The types that openraft is used with.
    pub TypeConfig: D = Command, R = AppliedEntry, NodeId = u64, Node = RaftMember
);

/// An entry of the log.
pub type Entry = EntryOf<TypeConfig>;
/// An entry's identity.
pub type LogId = LogIdOf<TypeConfig>;
/// The vote of this node: for which node, in which term.
pub type Vote = VoteOf<TypeConfig>;
/// A membership with the entry that it stands in.
pub type StoredMembership = StoredMembershipOf<TypeConfig>;
/// The metadata of a snapshot.
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// The entry's identity, in the lease protocol's terms.
pub fn membership_id(id: &LogId) -> MembershipId {
    MembershipId { term: id.leader_id.term, leader: NodeId(id.leader_id.node_id), index: id.index }
}

/// The voters, in the lease protocol's terms.
pub fn lease_membership(stored: &StoredMembership) -> LeaseMembership {
    let voters = stored.membership().get_joint_config().iter().map(|set| set.iter().copied().map(NodeId).collect()).collect();
    let addresses = stored
        .membership()
        .voter_ids()
        .filter_map(|id| stored.membership().get_node(&id).map(|node| (NodeId(id), node.guard_addr())))
        .collect();
    LeaseMembership { id: stored.log_id().as_ref().map(membership_id).unwrap_or_default(), voters, addresses }
}
