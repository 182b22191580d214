//! How the cluster agrees: openraft with a durable log, over framed TCP.

use crate::model::NodeId;
use std::collections::BTreeSet;

/// What this node's Raft says of itself and the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RaftView {
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Current term.
    pub term: u64,
    /// Who votes (every constituent set).
    pub voters: BTreeSet<NodeId>,
    /// Members that do not vote.
    pub learners: BTreeSet<NodeId>,
    /// Known leader that has (on the leader: acknowledged lately; elsewhere: heard lately) the quorum behind it.
    pub quorum: bool,
    /// Last applied log index.
    pub applied: u64,
    /// The state read from disk is complete up to what was known committed: it may be acted upon.
    pub loaded: bool,
}
