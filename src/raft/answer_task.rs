//! Answers other members' questions to Raft. The sender is looked up again at every question, so a removed node is refused at its next one.

use super::{
    io::state_machine::is_readable,
    message::{Propose, Proposed, RaftAnswer, RaftRequest, Voters, WhoVotes},
    permissions::may_propose,
    task::RaftNode,
    types::Vote,
    vouching::{RaftSender, directs},
};
use crate::{
    clock::{BootClock, Clock},
    link::certificate::Certificate,
    model::{NodeId, NodeRecord, Role},
    peers::{AnswerFrame, HelloRefusal, PeerStatus, QuestionFrame, Topic, VotingPeer},
    rules::Command,
};
use openraft::{async_runtime::WatchReceiver, raft::AppendEntriesResponse, storage::Snapshot};

/// Directors that are named in an answer to `WhoVotes`.
const DIRECTORS_NAMED: usize = 64;

impl RaftNode {
    /// Answers the member `id` with this certificate. `status`: what it is to this node, or why it is refused.
    ///
    /// `None`: the question is not of one of Raft's topics.
    pub async fn answer(
        &self,
        (id, certificate): (NodeId, &Certificate),
        status: &Result<PeerStatus, HelloRefusal>,
        question: &QuestionFrame,
    ) -> Option<AnswerFrame> {
        let read = match question.topic {
            Topic::Raft => self.answer_raft((id, certificate), status, question).await,
            Topic::Propose | Topic::Voters => match status {
                Ok(status) => self.answer_member(status, question).await,
                Err(refusal) => Err(self.refused(id, refusal.clone())),
            },
            Topic::Join | Topic::Certify | Topic::AuthorityKey | Topic::Parcel => return None,
        };
        Some(read.unwrap_or_else(|reply| reply))
    }

    async fn answer_member(&self, status: &PeerStatus, question: &QuestionFrame) -> Result<AnswerFrame, AnswerFrame> {
        if question.topic == Topic::Voters {
            let WhoVotes = question.read()?;
            return Ok(AnswerFrame::to::<WhoVotes>(&voters(self)));
        }
        let Propose(change) = question.read()?;
        Ok(AnswerFrame::to::<Propose>(&propose(self, status, change).await))
    }

    async fn answer_raft(
        &self,
        (id, certificate): (NodeId, &Certificate),
        status: &Result<PeerStatus, HelloRefusal>,
        question: &QuestionFrame,
    ) -> Result<AnswerFrame, AnswerFrame> {
        let request: RaftRequest = question.read()?;
        match raft_refusal(self, (id, certificate), status, &request) {
            None => Ok(AnswerFrame::of::<RaftRequest>(answer_raft(self, request).await)),
            Some(reply) => Err(reply),
        }
    }

    /// The reply to a member that is refused. A member that learns of its removal stops and deletes its data, so it is not told while its vote may
    /// still be needed.
    pub fn refused(&self, id: NodeId, refusal: HelloRefusal) -> AnswerFrame {
        match refusal {
            HelloRefusal::Removed { .. } if self.still_votes(id) => AnswerFrame::Failed(format!(
                "{id} was removed; it votes until a majority of the others has committed its removal"
            )),
            refusal => AnswerFrame::Refused(refusal),
        }
    }

    /// The voters of the newest membership in this node's log, committed or not.
    pub fn voters(&self) -> Vec<VotingPeer> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voter =
            |id| membership.get_node(&id).map(|node| VotingPeer { id: NodeId(id), name: node.name.clone(), addr: node.addr });
        membership.voter_ids().filter_map(voter).collect()
    }

    /// Whether `id` votes as far as this node knows, and `certificate`, which may name no number, is of the same name.
    pub(super) fn votes(&self, id: NodeId, certificate: &Certificate) -> bool {
        self.voters().iter().any(|voter| voter.is(id, certificate))
    }

    fn still_votes(&self, id: NodeId) -> bool {
        self.voters().iter().any(|voter| voter.id == id)
    }
}

/// The reason for which a Raft message is refused, if there is one.
fn raft_refusal(
    node: &RaftNode,
    (id, certificate): (NodeId, &Certificate),
    status: &Result<PeerStatus, HelloRefusal>,
    request: &RaftRequest,
) -> Option<AnswerFrame> {
    let speaks_for = request.speaks_for();
    if speaks_for != id {
        tracing::warn!(from = %id, %speaks_for, "raft message for another node refused");
        return Some(AnswerFrame::Failed(format!("{id} speaks for {speaks_for}")));
    }
    let status = match status {
        Ok(status) => status,
        Err(HelloRefusal::Removed { .. }) if node.still_votes(id) && leads_on(node, id, request) => return None,
        Err(refusal) => return Some(node.refused(id, refusal.clone())),
    };
    let sender = RaftSender {
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
        // Other members may know more: until they have answered, the sender tries again.
        node.doubts().notify_one();
    }
    Some(AnswerFrame::Failed(format!("{id} does not vote, as far as {} knows", node.id())))
}

/// A leader that is removed, or gives its vote away, keeps leading until the voters have committed that, or until no successor can take over in
/// order: `leave` on a leader needs that, and on a founder. It leads only in the term that it was elected for, and is not elected again.
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

/// The voters that this node knows, and directors to ask besides.
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
        // The sender knows later entries than this node, so this node does not lead.
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
                node.leader_contact().now();
            }
            Ok(RaftAnswer::Append(response))
        }
        RaftRequest::Vote(request) => raft.vote(request).await.map(RaftAnswer::Vote).map_err(|e| failed(&e)),
        RaftRequest::PreVote(request) => raft.pre_vote(request).await.map(RaftAnswer::Vote).map_err(|e| failed(&e)),
        RaftRequest::Snapshot { vote, meta, data } => {
            if !is_readable(&data) {
                return Err("the snapshot is not understood: is another version of lvs-agent installed here?".to_owned());
            }
            node.leader_contact().now();
            let snapshot = Snapshot { meta, snapshot: data };
            raft.install_full_snapshot(vote, snapshot).await.map(RaftAnswer::Snapshot).map_err(|e| failed(&e))
        }
        RaftRequest::Transfer(request) => {
            raft.handle_transfer_leader(request).await.map(RaftAnswer::Transfer).map_err(|e| failed(&e))
        }
    }
}
