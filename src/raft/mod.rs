//! How the cluster agrees: openraft with a durable log, over the connections of `peers`.
//!
//! # Layout
//! `task` is the handle that the agent has; `task/start` and `task/stop` its beginning and end, `task/found` the log of a new cluster, `task/leave` a
//! node's way out. `propose_task` gets changes committed, `view_task` publishes what Raft says of itself, `answer_task` answers other members with
//! what `permissions` allows. `voters/` decides who votes. `vouching` says whose Raft is heard, `vouch_task` asks others for that, `later_votes` what
//! a leader believes of later terms. `types` names openraft's types, `message` what Raft asks over the network, `record` how bytes lie on disk;
//! `effective` knows which membership counts, `timing` how fast all of it is, `heartbeat_task`
//! has a leader's heartbeats sent and `recipients` says to whom. `io` holds the log, the state machine and openraft's client.

mod answer_task;
mod effective;
mod fault;
mod heartbeat_task;
pub mod io;
mod later_votes;
pub(crate) mod message;
mod permissions;
mod propose_task;
mod recipients;
pub(crate) mod record;
mod sink;
mod task;
mod timing;
pub(crate) mod types;
mod view_task;
mod voters;
mod vouch_task;
mod vouching;

pub use fault::{Fault, StartError};
#[cfg(test)]
pub(crate) use io::scratch::Scratch;
pub(crate) use io::store_error::Rejoin;
pub use io::store_error::StoreError;
pub(crate) use message::Proposed;
pub use propose_task::{Committed, NotLeading, ProposeError};
pub use sink::{MembershipSink, SinkError};
pub(crate) use task::{FoundError, Founder, create_log, discard_log, found};
pub use task::{RaftNode, RaftSettings};
pub use types::{Applied, Node};
pub(crate) use voters::Liveness;

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
    /// This node is no member any more: why, and what to do. It stays so.
    pub refused: Option<String>,
    /// This node and all members that answer it do not trust each other's certificates: what one of them says.
    pub untrusted: Option<String>,
}
