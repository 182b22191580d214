//! What this node's Raft answers to other members. Who asks is looked up anew at every question, so that a removed node is out with its next one.

use super::{
    io::state_machine::is_readable,
    message::{Propose, Proposed, RaftAnswer, RaftRequest, Voters, WhoVotes},
    permissions::may_propose,
    task::RaftNode,
    types::Vote,
    vouching::{Sender, directs},
};
use crate::{
    clock::{BootClock, Clock},
    link::certificate::{Certificate, Subject},
    model::{NodeId, NodeRecord, Role},
    peers::{HelloRefusal, PeerStatus, Question, Reply, Topic, Voter},
    rules::Command,
};
use openraft::{async_runtime::WatchReceiver, raft::AppendEntriesResponse, storage::Snapshot};

/// Directors that are named to who asks who votes.
const DIRECTORS_NAMED: usize = 64;

impl RaftNode {
    /// Answers the member `id` with this certificate. `status`: what it is here, or why it is not heard.
    ///
    /// `None`: the question is not of one of Raft's topics.
    pub async fn answer(
        &self,
        (id, certificate): (NodeId, &Certificate),
        status: Result<PeerStatus, HelloRefusal>,
        question: &Question,
    ) -> Option<Reply> {
        let read = match question.topic {
            Topic::Raft => self.answer_raft((id, certificate), &status, question).await,
            Topic::Propose | Topic::Voters => match status {
                Ok(status) => self.answer_member(&status, question).await,
                Err(refusal) => Err(self.refused(id, refusal)),
            },
            Topic::Join | Topic::Certify | Topic::AuthorityKey | Topic::Parcel => return None,
        };
        Some(read.unwrap_or_else(|reply| reply))
    }

    async fn answer_member(&self, status: &PeerStatus, question: &Question) -> Result<Reply, Reply> {
        if question.topic == Topic::Voters {
            let WhoVotes = question.read()?;
            return Ok(Reply::to::<WhoVotes>(&voters(self)));
        }
        let Propose(change) = question.read()?;
        Ok(Reply::to::<Propose>(&propose(self, status, change).await))
    }

    async fn answer_raft(
        &self,
        (id, certificate): (NodeId, &Certificate),
        status: &Result<PeerStatus, HelloRefusal>,
        question: &Question,
    ) -> Result<Reply, Reply> {
        let request: RaftRequest = question.read()?;
        match raft_refusal(self, (id, certificate), status, &request) {
            None => Ok(Reply::of::<RaftRequest>(answer_raft(self, request).await)),
            Some(reply) => Err(reply),
        }
    }

    /// The reply to a member that is not heard. One that hears that it was removed stops and wipes itself, so it is not told as long as its vote may
    /// be needed.
    pub fn refused(&self, id: NodeId, refusal: HelloRefusal) -> Reply {
        match refusal {
            HelloRefusal::Removed { .. } if self.still_votes(id) => {
                Reply::Failed(format!("{id} was removed; it votes until a majority of the others has committed its removal"))
            }
            refusal => Reply::Refused(refusal),
        }
    }

    /// Who votes, by the newest membership in this node's log, committed or not.
    pub fn voters(&self) -> Vec<Voter> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voter = |id| membership.get_node(&id).map(|node| Voter { id: NodeId(id), name: node.name.clone(), addr: node.addr });
        membership.voter_ids().filter_map(voter).collect()
    }

    /// Whether `id` votes as far as this node knows, and `certificate`, which may name no number, is of the same name.
    pub(super) fn votes(&self, id: NodeId, certificate: &Certificate) -> bool {
        let Subject::Node { name, .. } = &certificate.subject else { return false };
        self.voters().iter().any(|voter| voter.id == id && voter.name == *name)
    }

    fn still_votes(&self, id: NodeId) -> bool {
        self.voters().iter().any(|voter| voter.id == id)
    }
}

/// What keeps a Raft message from being heard.
fn raft_refusal(
    node: &RaftNode,
    (id, certificate): (NodeId, &Certificate),
    status: &Result<PeerStatus, HelloRefusal>,
    request: &RaftRequest,
) -> Option<Reply> {
    let speaks_for = request.speaks_for();
    if speaks_for != id {
        tracing::warn!(from = %id, %speaks_for, "raft message for another node refused");
        return Some(Reply::Failed(format!("{id} speaks for {speaks_for}")));
    }
    let status = match status {
        Ok(status) => status,
        Err(HelloRefusal::Removed { .. }) if node.still_votes(id) && leads_on(node, id, request) => return None,
        Err(refusal) => return Some(node.refused(id, refusal.clone())),
    };
    let sender = Sender {
        votes: node.votes(id, certificate),
        leads_on: leads_on(node, id, request),
        directs: directs(status, certificate),
        is_vouched_for: node.vouched().has(id, BootClock.now()),
    };
    let leaderless = node.is_leaderless();
    if sender.is_heard(leaderless) {
        return None;
    }
    tracing::debug!(from = %id, leaderless, "raft message of a node that does not vote refused");
    if leaderless {
        // Others may know better: until they have said so, the sender tries again.
        node.doubts().notify_one();
    }
    Some(Reply::Failed(format!("{id} does not vote, as far as {} knows", node.id())))
}

/// A leader that is removed, or gives its vote away, leads on until those who vote have agreed to that, or nobody could lead them in order; that is
/// what `leave` on a leader, and a founder's, need. It leads in the term that it was elected for, and is not elected again.
fn leads_on(node: &RaftNode, id: NodeId, request: &RaftRequest) -> bool {
    let vote: Vote = match request {
        RaftRequest::Append(request) => request.vote,
        RaftRequest::Snapshot { vote, .. } => *vote,
        _ => return false,
    };
    let metrics = node.raft().metrics();
    let metrics = metrics.borrow_watched();
    metrics.current_leader == Some(id.0) && metrics.vote == vote
}

/// What this node knows of who votes, and who else may be asked.
fn voters(node: &RaftNode) -> Voters {
    let state = node.published().borrow().state.clone();
    let directors = state.nodes.values().filter(|record| record.roles.has(Role::Director));
    let directors = directors.take(DIRECTORS_NAMED).map(|record| (record.id, record.addr)).collect();
    let metrics = node.raft().metrics();
    let voters = metrics.borrow_watched().membership_config.membership().voter_ids().map(NodeId).collect();
    Voters { voters, directors }
}

async fn propose(node: &RaftNode, status: &PeerStatus, change: Command) -> Proposed {
    let PeerStatus::Member { record, director } = status else {
        // It knows more than this node does, so this node does not lead.
        return Proposed::NotLeader { leader: None };
    };
    if may_propose(record, *director, &change) {
        return node.propose_here(change).await;
    }
    tracing::warn!(from = %record.name, %change, "proposal refused: not the sender's to make");
    Proposed::Forbidden(forbidden(node, record))
}

fn forbidden(node: &RaftNode, peer: &NodeRecord) -> String {
    let state = node.published().borrow().state.clone();
    let directors = state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| node.name.to_string());
    let directors: Vec<String> = directors.take(5).collect();
    format!("{} may not change this: run this on a director ({})", peer.name, directors.join(", "))
}

async fn answer_raft(node: &RaftNode, request: RaftRequest) -> Result<RaftAnswer, String> {
    let raft = node.raft();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    match request {
        RaftRequest::Append(request) => {
            let response = raft.append_entries(request).await.map_err(|e| failed(&e))?;
            if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                node.heard().now();
            }
            Ok(RaftAnswer::Append(response))
        }
        RaftRequest::Vote(request) => raft.vote(request).await.map(RaftAnswer::Vote).map_err(|e| failed(&e)),
        RaftRequest::PreVote(request) => raft.pre_vote(request).await.map(RaftAnswer::Vote).map_err(|e| failed(&e)),
        RaftRequest::Snapshot { vote, meta, data } => {
            if !is_readable(&data) {
                return Err("the snapshot is not understood: is another version of lvs-agent installed here?".to_owned());
            }
            node.heard().now();
            let snapshot = Snapshot { meta, snapshot: data };
            raft.install_full_snapshot(vote, snapshot).await.map(RaftAnswer::Snapshot).map_err(|e| failed(&e))
        }
        RaftRequest::Transfer(request) => {
            raft.handle_transfer_leader(request).await.map(RaftAnswer::Transfer).map_err(|e| failed(&e))
        }
    }
}
