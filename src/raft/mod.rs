//! How the cluster agrees: openraft with a durable log, over TLS.
//!
//! # Layout
//! `types` names openraft's types, `message` and `joining` what nodes say to each other, `record` how bytes lie on disk; `effective` knows which
//! membership counts, `electors` which would be best, `membership` which should come next, `hearing` who is dead, `vote_words` why one votes;
//! `timing` knows how fast all of it is, `recipients` whom a heartbeat goes to. `peer` decides who is on the other side and what it may ask, `admission` who is let in, `door` who has
//! knocked too often, `vouching` whose Raft is heard, `later_votes` what a leader believes of later terms. `io` touches files and sockets. `task` is what the agent starts, `init_task` and `join_task` make a node a member, `admit_task` and
//! `certify_task` are the cluster's side of that; `refresh_task` brings a member back that the CA has left behind.

mod admission;
mod admit_task;
mod certify_task;
mod door;
mod duties_task;
mod effective;
mod electors;
mod expulsion;
mod fault;
mod hearing;
mod heartbeat_task;
mod init_task;
pub mod io;
mod join_task;
pub(crate) mod joining;
mod later_votes;
mod membership;
pub(crate) mod message;
pub(crate) mod peer;
mod presence_task;
mod propose_task;
mod recipients;
pub(crate) mod record;
mod refresh_task;
mod sink;
mod task;
mod timing;
pub(crate) mod types;
mod view_task;
mod vote_words;
mod vouch_task;
mod vouching;

pub use certify_task::CertifyError;
pub use fault::{Fault, StartError};
pub use init_task::{Founded, InitError, InitSettings, init};
pub use io::{
    identity::{Identity, IdentityError},
    store_error::StoreError,
};
pub use join_task::{JoinError, JoinSettings, UNREACHABLE_HINT, join};
pub use joining::{JoinAccepted, JoinRefusal, JoinRequest, SignedJoin};
pub use peer::Met;
pub use propose_task::{Committed, ProposeError};
pub use refresh_task::RefreshError;
pub use sink::{MembershipSink, SinkError};
pub use task::{RaftNode, RaftSettings};
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
    /// This node is no member any more: why, and what to do. It stays so.
    pub refused: Option<String>,
    /// This node and all members that answer it do not trust each other's certificates: what one of them says.
    pub untrusted: Option<String>,
}
