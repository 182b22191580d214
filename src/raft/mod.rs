//! How the cluster agrees: openraft with a durable log, over framed TCP.
//!
//! # Layout
//! `types` names openraft's types, `message` what nodes say to each other, `record` how bytes lie on disk; `effective` knows which membership
//! counts, `membership` which should come next, `timing` how fast all of it is. `io` touches files and sockets. `task` is what the agent starts,
//! `init_task` and `join_task` make a node a member.

mod duties_task;
mod effective;
mod init_task;
pub mod io;
mod join_task;
mod membership;
pub(crate) mod message;
mod propose_task;
pub(crate) mod record;
mod sink;
mod task;
mod timing;
pub(crate) mod types;
mod view_task;

pub use init_task::{InitError, init};
pub use io::{
    identity::{Identity, IdentityError},
    store_error::StoreError,
};
pub use join_task::{JoinError, join};
pub use message::{JoinAccepted, JoinRefusal, JoinRequest};
pub use propose_task::ProposeError;
pub use sink::{MembershipSink, SinkError};
pub use task::{Fault, RaftNode, RaftSettings, StartError};
pub use types::{Applied, Node};

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
