//! openraft's network over the connections of `peers`.

use crate::{
    clock::{BootClock, Clock},
    model::NodeId,
    peers::{CallError, Directory, Peers},
    raft::{
        later_votes::LaterVotes,
        message::{RaftAnswer, RaftRequest},
        recipients::Recipients,
        timing::RaftTiming,
        types::{Node, TypeConfig, Vote},
    },
};
use openraft::{
    OptionalSend,
    alias::SnapshotOf,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RaftNetworkFactory, RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
        VoteRequest, VoteResponse,
    },
};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

type Failed = RPCError<TypeConfig>;

/// Makes openraft's clients.
#[derive(Clone)]
pub struct Network {
    /// The connections.
    peers: Peers,
    /// Who votes; `None`: a founder, which is alone.
    directory: Option<Directory>,
    /// How long a follower may take to make entries durable.
    timing: RaftTiming,
    /// Whom heartbeats go to.
    recipients: Recipients,
    later_votes: Arc<Mutex<LaterVotes>>,
}

impl Network {
    /// Over these connections.
    pub fn new(peers: Peers, directory: Option<Directory>, timing: RaftTiming, recipients: Recipients) -> Self {
        Self { peers, directory, timing, recipients, later_votes: Arc::default() }
    }
}

/// openraft's way to one peer.
pub struct Client {
    peers: Peers,
    directory: Option<Directory>,
    to: NodeId,
    addr: SocketAddr,
    append_within: Duration,
    /// Where it is for heartbeats: whom they go to.
    recipients: Option<Recipients>,
    later_votes: Arc<Mutex<LaterVotes>>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Node) -> Client {
        Client {
            peers: self.peers.clone(),
            directory: self.directory.clone(),
            to: NodeId(target),
            addr: node.addr,
            append_within: self.timing.election_min,
            recipients: None,
            later_votes: self.later_votes.clone(),
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Node) -> Client {
        Client { recipients: Some(self.recipients.clone()), ..self.new_client(target, node).await }
    }
}

impl Client {
    async fn call(&self, request: RaftRequest, within: Duration) -> Result<RaftAnswer, Unreachable<TypeConfig>> {
        // openraft keeps this client when the node's address in the membership changes.
        let addr = self.peers.address_of(self.to).unwrap_or(self.addr);
        match self.peers.call(Some(self.to), addr, &request, within).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Failed { why, .. }) => Err(Unreachable::from_string(why)),
            Err(error) => Err(Unreachable::new(&error)),
        }
    }

    /// A leader is told of a later term by whoever votes, and seldom by others.
    fn later_vote(&self, theirs: Vote, ours: &Vote) -> Result<Vote, Unreachable<TypeConfig>> {
        if self.directory.as_ref().is_none_or(|directory| directory.is_voter(self.to)) {
            return Ok(theirs);
        }
        let mut later_votes = self.later_votes.lock().expect("no holder of this lock panics");
        let believed = later_votes.believed(&theirs, ours, BootClock.now());
        tracing::warn!(node = %self.to, term = theirs.leader_id.term, believed = believed.is_some(), "a node that does not vote speaks of a later term");
        believed.ok_or_else(|| Unreachable::from_string(format!("{} does not vote, and speaks of a later term", self.to)))
    }

    fn unexpected(&self) -> Unreachable<TypeConfig> {
        Unreachable::from_string(format!("{} answers something else", self.addr))
    }

    async fn ask_vote(&self, request: RaftRequest, option: &RPCOption) -> Result<VoteResponse<TypeConfig>, Failed> {
        match self.call(request, option.hard_ttl()).await? {
            RaftAnswer::Vote(response) => Ok(response),
            _ => Err(self.unexpected().into()),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = Vec<u8>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Failed> {
        if self.recipients.as_ref().is_some_and(|recipients| !recipients.has(self.to)) {
            // Not said to have been heard: openraft would count that as an acknowledgement.
            return Err(Unreachable::from_string("this heartbeat is for others").into());
        }
        // openraft allows one heartbeat's time, which a slow disk exceeds at every entry; heartbeats themselves it bounds on its own.
        let within = option.hard_ttl().max(self.append_within);
        let ours = request.vote;
        match self.call(RaftRequest::Append(request), within).await? {
            RaftAnswer::Append(AppendEntriesResponse::HigherVote(theirs)) => {
                Ok(AppendEntriesResponse::HigherVote(self.later_vote(theirs, &ours)?))
            }
            RaftAnswer::Append(response) => Ok(response),
            _ => Err(self.unexpected().into()),
        }
    }

    async fn vote(&mut self, request: VoteRequest<TypeConfig>, option: RPCOption) -> Result<VoteResponse<TypeConfig>, Failed> {
        self.ask_vote(RaftRequest::Vote(request), &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Failed> {
        self.ask_vote(RaftRequest::PreVote(request), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, Vec<u8>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let request = RaftRequest::Snapshot { vote, meta: snapshot.meta, data: snapshot.snapshot };
        tokio::select! {
            // Cancel-safe: a call that is dropped drops its connection.
            answer = self.call(request, option.hard_ttl()) => match answer.map_err(StreamingError::Unreachable)? {
                RaftAnswer::Snapshot(response) if response.vote > vote => {
                    let later = self.later_vote(response.vote, &vote).map_err(StreamingError::Unreachable)?;
                    Ok(SnapshotResponse::new(later))
                }
                RaftAnswer::Snapshot(response) => Ok(response),
                _ => Err(StreamingError::Unreachable(self.unexpected())),
            },
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Failed> {
        match self.call(RaftRequest::Transfer(request), option.hard_ttl()).await? {
            RaftAnswer::Transfer(response) => Ok(response),
            _ => Err(self.unexpected().into()),
        }
    }
}
