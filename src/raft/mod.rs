//! Raft: openraft with a durable log, over the connections of `peers`.
//!
//! # Layout
//! `task` is the handle that the agent has; `task/start` starts it and `task/stop` stops it, `task/found` writes the log of a new cluster,
//! `task/leave` takes a node out. `propose_task` gets changes committed, `view_task` publishes leader, voters and quorum, `answer_task` answers
//! members with what `permissions` allows. `voters/` decides who votes. `vouching` decides whose Raft messages are accepted, `vouch_task` asks for that,
//! `later_votes` decides what a leader accepts of later terms. `types` names openraft's types, `message` has Raft's questions, `record` the form of
//! records on disk; `effective_membership` knows which membership counts, `timing` the rhythm, `heartbeat_task` sends a leader's heartbeats to the
//! `recipients`. `io` holds the log, the state machine and openraft's client.

mod answer_task;
mod effective_membership;
mod fault;
mod heartbeat_task;
pub mod io;
mod later_votes;
mod membership_observer;
pub(crate) mod message;
mod permissions;
mod propose_task;
mod recipients;
pub(crate) mod record;
mod task;
mod timing;
pub(crate) mod types;
mod view_task;
mod voters;
mod vouch_task;
mod vouching;

pub use fault::{RaftFault, RaftStartError};
#[cfg(test)]
pub(crate) use io::scratch::Scratch;
pub(crate) use io::store_error::RejoinHint;
pub use io::{disk::FORMAT as LOG_FORMAT, state_machine::VERSION as SNAPSHOT_VERSION, store_error::StoreError};
pub use membership_observer::{MembershipObserver, MembershipObserverError};
pub(crate) use message::Proposed;
pub use propose_task::{Committed, NotLeading, ProposeError};
pub(crate) use task::{FoundError, Founder, create_log, discard_log, found};
pub use task::{RaftNode, RaftSettings};
pub use types::{AppliedEntry, RaftMember};
pub(crate) use voters::Liveness;

use crate::model::NodeId;
use std::collections::BTreeSet;

/// The view of this node's Raft: leader, voters, quorum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RaftView {
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Current term.
    pub term: u64,
    /// The voters, of every constituent set.
    pub voters: BTreeSet<NodeId>,
    /// Members that do not vote.
    pub learners: BTreeSet<NodeId>,
    /// Known leader that has (on the leader: acknowledged lately; elsewhere: heard lately) the quorum behind it.
    pub quorum: bool,
    /// Last applied log index.
    pub applied: u64,
    /// The state read from disk is complete up to the committed index of the last stop: it may be acted upon.
    pub loaded: bool,
    /// This node is no member any more: why, and what to do. It stays so.
    pub refused: Option<String>,
    /// This node and all members that answer it do not trust each other's certificates: the reason of one of them.
    pub untrusted: Option<String>,
}
