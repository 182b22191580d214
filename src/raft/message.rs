//! What nodes say to each other over TCP: a hello, then requests and their answers, one after the other.

use super::{
    joining::{CertifyRefusal, JoinAccepted, JoinRefusal, SignedJoin},
    types::{Applied, SnapshotMeta, TypeConfig, Vote},
};
use crate::{
    model::{Fingerprint, NodeId, NodeName},
    rules::RuleChange,
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
use zeroize::Zeroizing;

/// The version of everything in this file. Nodes of different versions do not talk.
pub const PROTOCOL_VERSION: u16 = 5;
/// Longest hello and answer to it: a few numbers and a cluster id.
pub const MAX_HELLO_BYTES: usize = 1 << 10;
/// Longest question of a node that is no member yet: a signed request to join, or one for a certificate.
pub const MAX_JOIN_BYTES: usize = 4 << 10;
/// Longest answer to that: a thousand members and some CAs.
pub const MAX_ACCEPTED_BYTES: usize = 1 << 20;
/// Longest answer to anything else: how it went, a certificate chain, why not.
pub const MAX_ANSWER_BYTES: usize = 64 << 10;
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
    /// The sender's cluster; `None`: it speaks for no member now and may only ask to join, or for its certificate.
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
    /// The sender was a member.
    #[error("{id} was removed from the cluster: run `lvs-agent leave` on it{}", way_back(barred.as_ref()))]
    Removed {
        /// The number it had.
        id: NodeId,
        /// Its name, where that is kept out until it is allowed back.
        barred: Option<NodeName>,
    },
    /// The sender's certificate is not that of the member it says it is.
    #[error("it says that it is {says}, but its certificate is {certificate}")]
    NotYou {
        /// Who it says it is.
        says: NodeId,
        /// What its certificate says.
        certificate: String,
    },
    /// The sender has shown no certificate.
    #[error("only members may ask that, and it has shown no certificate")]
    NoCertificate,
    /// The sender's certificate has ended since it connected, or the connection is old.
    #[error("the connection is too old: connect again")]
    Stale,
    /// A certificate of somebody else's CA, which gives no numbers, for no member that the other side knows.
    #[error(
        "no member called {name} is known there yet; if that stays so, restart the agent of the leader (`lvs-agent status` names it) until one leads that \
         is known there"
    )]
    Unknown {
        /// Whose certificate it is.
        name: NodeName,
    },
    /// As `Unknown`, and that name is kept out as far as the other side knows.
    #[error("{name} was removed from the cluster: run `lvs-agent node allow {name}` on a director if it shall come back")]
    Barred {
        /// Whose certificate it is.
        name: NodeName,
    },
}

fn way_back(barred: Option<&NodeName>) -> String {
    let allow = barred.map(|name| format!("run `lvs-agent node allow {name}` on a director and `lvs-agent join SEED` here"));
    let words = allow.unwrap_or_else(|| "run `lvs-agent join SEED --token T` here".to_owned());
    format!("; if it shall be a member again, then {words}")
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
    /// To any member: let me in. It is passed on to the leader as it is.
    Join(SignedJoin),
    /// To a director: sign this request for a certificate (PKCS#10, DER).
    Certify {
        /// By the key of a member.
        csr: Vec<u8>,
    },
    /// From a director to another: the private key of this CA.
    AuthorityKey(Fingerprint),
    /// To any member, from one that hears no leader: who votes?
    Voters,
    /// From a member to another: gossip that is too long for datagrams, see `link::parcel`.
    Parcel {
        /// Which start of the sender's agent says it.
        session: u64,
        /// At most [`MAX_PARCEL_BYTES`](crate::link::parcel::MAX_PARCEL_BYTES).
        body: Vec<u8>,
    },
}

impl Request {
    /// The number that a Raft message speaks for: its leader's or its candidate's. `None` for what is no Raft message.
    pub fn speaks_for(&self) -> Option<NodeId> {
        let id = match self {
            Request::Append(request) => request.vote.leader_id.node_id,
            Request::Vote(request) | Request::PreVote(request) => request.vote.leader_id.node_id,
            Request::Snapshot { vote, .. } => vote.leader_id.node_id,
            Request::Transfer(request) => request.from_leader().leader_id.node_id,
            Request::Propose(_)
            | Request::Join(_)
            | Request::Certify { .. }
            | Request::AuthorityKey(_)
            | Request::Voters
            | Request::Parcel { .. } => {
                return None;
            }
        };
        Some(NodeId(id))
    }

    /// Who is no member may ask this.
    pub fn is_for_strangers(&self) -> bool {
        matches!(self, Request::Join(_) | Request::Certify { .. })
    }

    /// Longest answer.
    pub fn answer_limit(&self) -> usize {
        if matches!(self, Request::Join(_)) { MAX_ACCEPTED_BYTES } else { MAX_ANSWER_BYTES }
    }
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
    /// To `Propose`.
    Proposed(Proposed),
    /// To `Join`.
    Joined(Result<JoinAccepted, JoinRefusal>),
    /// To `Certify`: the certificate (DER), and the CA's after it.
    Certified(Result<Vec<Vec<u8>>, CertifyRefusal>),
    /// To `AuthorityKey`: PKCS#8.
    AuthorityKey(Zeroizing<Vec<u8>>),
    /// To `Voters`.
    Voters(Voters),
    /// To anything: this connection is of no use any more. It is closed.
    Refused(HelloRefusal),
    /// To anything: it could not be done here and now.
    Failed(String),
    /// To `Parcel`: it will be read.
    Taken,
}

/// Who votes, as far as one node knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Voters {
    /// In any of the voter sets of the newest membership in its log.
    pub voters: BTreeSet<NodeId>,
    /// Directors, and where they are: some of these can say it too.
    pub directors: BTreeMap<NodeId, SocketAddr>,
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
    /// Whoever asked may not have this changed. Nothing was written.
    Forbidden(String),
}

#[cfg(test)]
mod tests;
