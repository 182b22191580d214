//! What nodes say to each other over TCP: a hello, then requests and their answers, one after the other.

use super::types::{Applied, SnapshotMeta, TypeConfig, Vote};
use crate::{
    model::{NodeId, NodeName, NodeRecord, Roles, TimingProfile},
    rules::{Refusal, RuleChange},
};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The version of everything in this file. Nodes of different versions do not talk.
pub const PROTOCOL_VERSION: u16 = 1;
/// Longest hello and answer to it: a few numbers and a cluster id.
pub const MAX_HELLO_BYTES: usize = 1 << 10;
/// Longest question of a node that is no member yet: names, roles, an address.
pub const MAX_JOIN_BYTES: usize = 4 << 10;
/// Longest rule change: room for some 50,000 real servers.
pub const MAX_CHANGE_BYTES: usize = 4 << 20;
/// Longest entry of the log: a change, or a membership, with its log id.
pub const MAX_ENTRY_BYTES: usize = MAX_CHANGE_BYTES + (64 << 10);
/// Longest snapshot: rules, as many verdicts with their votes, members.
pub const MAX_SNAPSHOT_BYTES: usize = 32 << 20;
/// Longest frame after the hello: a snapshot with its frame.
pub const MAX_FRAME_BYTES: usize = MAX_SNAPSHOT_BYTES + (64 << 10);
/// Entries for one follower are sent in frames of about this size, or one by one where a single one is longer.
pub const APPEND_BYTES: usize = 2 << 20;

/// First frame of every connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`]; stands first in every version.
    pub version: u16,
    /// The sender's cluster; `None`: it is in none yet and may only ask to join.
    pub cluster_id: Option<String>,
    /// The sender, where it has a number.
    pub from: Option<NodeId>,
    /// Who is meant, where that matters: after a disk was replaced, another number answers at the same address.
    pub to: Option<NodeId>,
}

/// Answer to [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on.
    Welcome,
    /// The connection is of no use.
    No(HelloRefusal),
}

/// Why a connection was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum HelloRefusal {
    /// Another version of the protocol.
    #[error("it speaks protocol version {theirs}, this node {}: install the same lvs-agent version on both", PROTOCOL_VERSION)]
    WrongVersion {
        /// What the other side speaks.
        theirs: u16,
    },
    /// Two clusters met.
    #[error("it belongs to cluster {theirs}, another one")]
    WrongCluster {
        /// The other side's.
        theirs: String,
    },
    /// Somebody else answers at this address.
    #[error("node {theirs} answers there")]
    SomebodyElse {
        /// Who.
        theirs: NodeId,
    },
}

/// A node wants to become a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Its name.
    pub name: NodeName,
    /// Its roles.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// The agent's version; for the log.
    pub version: String,
    /// The profile its configuration asks for; `None`: whatever the cluster has.
    pub timing: Option<TimingProfile>,
    /// Cluster and number it already has data of.
    pub known: Option<(String, NodeId)>,
}

/// It is one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinAccepted {
    /// The cluster.
    pub cluster_id: String,
    /// Its number.
    pub id: NodeId,
    /// The cluster's rhythm.
    pub timing: TimingProfile,
    /// All members.
    pub nodes: Vec<NodeRecord>,
}

/// It is not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// Profiles differ.
    #[error("the cluster's timing profile is `{cluster}`, this node's `{asked}`: set `timing = \"{cluster}\"` in agent.toml")]
    Timing {
        /// The cluster's.
        cluster: TimingProfile,
        /// The node's.
        asked: TimingProfile,
    },
    /// A living member has the name.
    #[error("a living node at {addr} is called {name}: give this node another name, or stop that one first")]
    NameTaken {
        /// The name.
        name: NodeName,
        /// Who has it.
        addr: SocketAddr,
    },
    /// The node has another cluster's data.
    #[error("this node has data of cluster {theirs}, the seed belongs to {ours}: move the data directory away to join anew")]
    OtherCluster {
        /// What the node has.
        theirs: String,
        /// The seed's.
        ours: String,
    },
    /// The node's number is no member's any more.
    #[error("{id} is no member any more, it left or was replaced: move the data directory away and join anew")]
    Forgotten {
        /// The number.
        id: NodeId,
    },
    /// The cluster's rules forbid it.
    #[error("{0}")]
    Refused(Refusal),
    /// Nobody can decide now.
    #[error("the cluster has no leader with a majority behind it: {0}")]
    NoQuorum(String),
}

/// What a node asks of another.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// Raft: entries, or a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// Raft: an election.
    Vote(VoteRequest<TypeConfig>),
    /// Raft: would you vote for me?
    PreVote(VoteRequest<TypeConfig>),
    /// Raft: the whole state.
    Snapshot {
        /// The leader's.
        vote: Vote,
        /// Up to where, and the membership there.
        meta: SnapshotMeta,
        /// The state.
        data: Vec<u8>,
    },
    /// Raft: lead!
    Transfer(TransferLeaderRequest<TypeConfig>),
    /// To the leader: commit this.
    Propose(RuleChange),
    /// To any member: let me in.
    Join(JoinRequest),
    /// To any member: this node goes for good.
    Leave(NodeName),
}

/// The answer to a [`Request`].
#[derive(Serialize, Deserialize)]
pub enum Response {
    /// To `Append`.
    Append(AppendEntriesResponse<TypeConfig>),
    /// To `Vote` and `PreVote`.
    Vote(VoteResponse<TypeConfig>),
    /// To `Snapshot`.
    Snapshot(SnapshotResponse<TypeConfig>),
    /// To `Transfer`.
    Transfer(TransferLeaderResponse<TypeConfig>),
    /// To `Propose` and `Leave`.
    Proposed(Proposed),
    /// To `Join`.
    Joined(Result<JoinAccepted, JoinRefusal>),
    /// To anything: it could not be done here and now.
    Failed(String),
}

/// What became of a proposal at one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proposed {
    /// Committed, applied.
    Done(Applied),
    /// Not here. Nothing was written.
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
    },
    /// It may or may not come to be committed.
    Unknown(String),
}
