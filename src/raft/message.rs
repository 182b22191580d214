//! Raft's questions to other nodes over TCP: its own messages, proposals to the leader, and which nodes vote.

use super::types::{AppliedEntry, SnapshotMeta, TypeConfig, Vote};
use crate::{
    model::NodeId,
    peers::{Ask, Topic, question::MAX_QUESTION_BYTES},
    rules::Command,
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// Longest command: room for some 50,000 real servers.
pub const MAX_CHANGE_BYTES: usize = 4 << 20;
/// Longest entry of the log: a change, or a membership, with its log id.
pub const MAX_ENTRY_BYTES: usize = MAX_CHANGE_BYTES + (64 << 10);
/// Longest snapshot: rules, as many verdicts with their votes, members.
pub const MAX_SNAPSHOT_BYTES: usize = 32 << 20;
/// Entries for one follower are sent in frames of about this size, or one by one where a single one is longer.
pub const APPEND_BYTES: usize = 2 << 20;
/// A snapshot's message, with everything around the state, is a question like any other.
const _: () = assert!(MAX_SNAPSHOT_BYTES + (64 << 10) <= MAX_QUESTION_BYTES);

/// A message of the Raft protocol.
#[derive(Serialize, Deserialize)]
pub enum RaftRequest {
    /// Entries, or a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// An election.
    Vote(VoteRequest<TypeConfig>),
    /// A candidate asks whether it would be elected.
    PreVote(VoteRequest<TypeConfig>),
    /// The whole state.
    Snapshot {
        /// The leader's.
        vote: Vote,
        /// Up to where, and the membership there.
        meta: SnapshotMeta,
        /// The state.
        data: Vec<u8>,
    },
    /// The receiver shall become the leader.
    Transfer(TransferLeaderRequest<TypeConfig>),
}

impl RaftRequest {
    /// The node in whose name the message is: its leader or its candidate.
    pub fn speaks_for(&self) -> NodeId {
        NodeId(match self {
            RaftRequest::Append(request) => request.vote.leader_id.node_id,
            RaftRequest::Vote(request) | RaftRequest::PreVote(request) => request.vote.leader_id.node_id,
            RaftRequest::Snapshot { vote, .. } => vote.leader_id.node_id,
            RaftRequest::Transfer(request) => request.from_leader().leader_id.node_id,
        })
    }
}

impl Ask for RaftRequest {
    const TOPIC: Topic = Topic::Raft;
    type Answer = RaftAnswer;
}

/// The answer to a [`RaftRequest`].
#[derive(Serialize, Deserialize)]
pub enum RaftAnswer {
    /// To `Append`.
    Append(AppendEntriesResponse<TypeConfig>),
    /// To `Vote` and `PreVote`.
    Vote(VoteResponse<TypeConfig>),
    /// To `Snapshot`.
    Snapshot(SnapshotResponse<TypeConfig>),
    /// To `Transfer`.
    Transfer(TransferLeaderResponse<TypeConfig>),
}

/// Asks the leader to commit a change.
#[derive(Serialize, Deserialize)]
pub struct Propose(pub Command);

impl Ask for Propose {
    const TOPIC: Topic = Topic::Propose;
    type Answer = Proposed;
}

/// A node that hears no leader asks a member which nodes vote.
#[derive(Serialize, Deserialize)]
pub struct WhoVotes;

impl Ask for WhoVotes {
    const TOPIC: Topic = Topic::Voters;
    type Answer = Voters;
}

/// The voters, as far as one node knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Voters {
    /// In any of the voter sets of the newest membership in its log.
    pub voters: BTreeSet<NodeId>,
    /// Directors with their addresses, which can be asked, too.
    pub directors: BTreeMap<NodeId, SocketAddr>,
}

/// The result of a proposal at one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proposed {
    /// Committed, applied.
    Done(AppliedEntry),
    /// This node does not lead. Nothing was written.
    NotLeader {
        /// The leader, if it is known.
        leader: Option<NodeId>,
    },
    /// The change may or may not be committed.
    Unknown(String),
    /// The sender may not have this changed. Nothing was written.
    Forbidden(String),
}
