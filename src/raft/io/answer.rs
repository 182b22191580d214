//! What is answered to whom. Who asks is looked up anew at every question, so that a removed node is out with its next one.

use super::{state_machine::is_readable, threshold::Threshold};
use crate::{
    clock::{BootClock, Clock},
    link::{
        certificate::{Certificate, Subject},
        parcel::Parcel,
    },
    model::{NodeId, NodeRecord, Role},
    raft::{
        joining::{CertifyRefusal, JoinRefusal, SignedJoin},
        message::{HelloRefusal, Proposed, Request, Response, Voters},
        peer::{Standing, may_propose},
        task::RaftNode,
        types::Vote,
        view_task,
        vouching::{Sender, directs},
    },
    rules::RuleChange,
};
use openraft::{async_runtime::WatchReceiver, raft::AppendEntriesResponse, storage::Snapshot};
use std::{net::SocketAddr, time::Duration};

/// Directors that are named to who asks who votes.
const DIRECTORS_NAMED: usize = 64;

/// Who is on the other side.
pub enum Asker {
    /// Not, or not now, a member. The certificate is its own PKI's, where it has shown one.
    Stranger {
        /// As TLS has found it good.
        certificate: Option<Certificate>,
    },
    /// One that was a member when it said hello.
    Member {
        /// Its number.
        id: NodeId,
        /// As TLS has found it good.
        certificate: Box<Certificate>,
    },
}

/// One connection, as its questions see it.
pub struct Caller {
    /// Who asks.
    pub asker: Asker,
    /// From where.
    pub from: SocketAddr,
    /// Where failures are counted.
    pub threshold: Threshold,
}

/// Answers one question.
pub async fn answer(node: &RaftNode, caller: &Caller, request: Request) -> Response {
    match &caller.asker {
        Asker::Stranger { certificate } => match request {
            Request::Join(signed) => Response::Joined(admit(node, caller, certificate.as_ref(), signed).await),
            Request::Certify { csr } => Response::Certified(certify(node, caller, &csr).await),
            _ => Response::Refused(HelloRefusal::NoCertificate),
        },
        Asker::Member { id, certificate } => {
            let standing = node.directory().standing(certificate, *id);
            answer_member(node, (*id, certificate.as_ref()), standing, request).await
        }
    }
}

async fn admit(
    node: &RaftNode,
    caller: &Caller,
    certificate: Option<&Certificate>,
    signed: SignedJoin,
) -> Result<crate::raft::JoinAccepted, JoinRefusal> {
    if let Some(wait) = caller.threshold.wait(caller.from.ip()) {
        return Err(JoinRefusal::TooOften { wait_s: rounded_up(wait) });
    }
    let name = signed.claimed_name();
    let admitted = node.admit(signed, certificate).await;
    let refused = admitted.as_ref().err().filter(|refusal| !refusal.is_passing());
    if let Some(reason) = refused.filter(|_| caller.threshold.failed(caller.from.ip())) {
        let node = name.as_ref().map_or("(unreadable)", |name| name.as_str());
        tracing::warn!(node, from = %caller.from, %reason, "node not let in");
    }
    admitted
}

async fn certify(node: &RaftNode, caller: &Caller, csr: &[u8]) -> Result<Vec<Vec<u8>>, CertifyRefusal> {
    // A member whose certificate nobody takes fails all the time, and needs nothing but this.
    let is_members = node.directory().is_members(caller.from.ip());
    if let Some(wait) = caller.threshold.wait(caller.from.ip()).filter(|_| !is_members) {
        return Err(CertifyRefusal::TooOften { wait_s: rounded_up(wait) });
    }
    let certified = node.certify(csr).await;
    if let Err(reason @ (CertifyRefusal::NoMember | CertifyRefusal::Request(_))) = &certified
        && caller.threshold.failed(caller.from.ip())
    {
        tracing::warn!(from = %caller.from, %reason, "certificate not signed");
    }
    certified
}

fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

async fn answer_member(
    node: &RaftNode,
    (id, certificate): (NodeId, &Certificate),
    standing: Result<Standing, HelloRefusal>,
    request: Request,
) -> Response {
    if let Some(speaks_for) = request.speaks_for() {
        return match raft_refusal(node, (id, certificate), speaks_for, &standing, &request) {
            None => answer_raft(node, request).await.unwrap_or_else(Response::Failed),
            Some(response) => response,
        };
    }
    let standing = match standing {
        Ok(standing) => standing,
        Err(refusal) => return refused(node, id, refusal),
    };
    match request {
        // Passed on by a member: its own answer to a stranger is this one, and goes no further.
        Request::Join(signed) => Response::Joined(node.admit_passed_on(&signed).await),
        Request::Propose(change) => Response::Proposed(propose(node, &standing, change).await),
        Request::AuthorityKey(authority) => match standing {
            Standing::Member { record, director: true } => {
                tracing::info!(node = %record.name, %authority, "ca key handed to a director");
                node.authority_key(&authority).map_or_else(Response::Failed, Response::AuthorityKey)
            }
            _ => Response::Failed("only directors have the ca's key".to_owned()),
        },
        Request::Certify { csr } => Response::Certified(node.certify(&csr).await),
        Request::Voters => Response::Voters(voters(node)),
        Request::Parcel { session, body } => match node.parcels().take(Parcel { member: id, session, body }) {
            Ok(()) => Response::Taken,
            Err(why) => Response::Failed(why.to_string()),
        },
        _ => Response::Failed("no question of a member".to_owned()),
    }
}

/// What keeps a Raft message from being heard.
fn raft_refusal(
    node: &RaftNode,
    (id, certificate): (NodeId, &Certificate),
    speaks_for: NodeId,
    standing: &Result<Standing, HelloRefusal>,
    request: &Request,
) -> Option<Response> {
    if speaks_for != id {
        tracing::warn!(from = %id, %speaks_for, "raft message for another node refused");
        return Some(Response::Failed(format!("{id} speaks for {speaks_for}")));
    }
    let standing = match standing {
        Ok(standing) => standing,
        Err(HelloRefusal::Removed { .. }) if still_votes(node, id) && leads_on(node, id, request) => return None,
        Err(refusal) => return Some(refused(node, id, refusal.clone())),
    };
    let sender = Sender {
        votes: node.votes(id, certificate),
        leads_on: leads_on(node, id, request),
        directs: directs(standing, certificate),
        is_vouched_for: node.peers().vouched().has(id, BootClock.now()),
    };
    let leaderless = view_task::is_leaderless(node);
    if sender.is_heard(leaderless) {
        return None;
    }
    tracing::debug!(from = %id, leaderless, "raft message of a node that does not vote refused");
    if leaderless {
        // Others may know better: until they have said so, the sender tries again.
        node.peers().doubts().notify_one();
    }
    Some(Response::Failed(format!("{id} does not vote, as far as {} knows", node.id())))
}

/// Who hears that it was removed stops and wipes itself. As long as its vote may be needed it does not hear that.
fn refused(node: &RaftNode, id: NodeId, refusal: HelloRefusal) -> Response {
    match refusal {
        HelloRefusal::Removed { .. } if still_votes(node, id) => {
            Response::Failed(format!("{id} is no member any more, and votes until the others can decide without it"))
        }
        refusal => Response::Refused(refusal),
    }
}

/// A leader that is removed, or gives its vote away, leads on until those who vote have agreed to that, or nobody could lead them in order; that is
/// what `leave` on a leader, and a founder's, need. It leads in the term that it was elected for, and is not elected again.
fn leads_on(node: &RaftNode, id: NodeId, request: &Request) -> bool {
    let vote: Vote = match request {
        Request::Append(request) => request.vote,
        Request::Snapshot { vote, .. } => *vote,
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

impl RaftNode {
    /// Whether `id` votes as far as this node knows, and `certificate`, which may name no number, is of the same name.
    pub(in crate::raft) fn votes(&self, id: NodeId, certificate: &Certificate) -> bool {
        let Subject::Node { name, .. } = &certificate.subject else { return false };
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.voter_ids().any(|voter| voter == id.0) && membership.get_node(&id.0).is_some_and(|node| node.name == *name)
    }
}

/// Whether `id` votes as far as this node knows.
pub fn still_votes(node: &RaftNode, id: NodeId) -> bool {
    let metrics = node.raft().metrics();
    metrics.borrow_watched().membership_config.membership().voter_ids().any(|voter| voter == id.0)
}

async fn propose(node: &RaftNode, standing: &Standing, change: RuleChange) -> Proposed {
    let Standing::Member { record, director } = standing else {
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

async fn answer_raft(node: &RaftNode, request: Request) -> Result<Response, String> {
    let raft = node.raft();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    match request {
        Request::Append(request) => {
            let response = raft.append_entries(request).await.map_err(|e| failed(&e))?;
            if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                node.heard().now();
            }
            Ok(Response::Append(response))
        }
        Request::Vote(request) => raft.vote(request).await.map(Response::Vote).map_err(|e| failed(&e)),
        Request::PreVote(request) => raft.pre_vote(request).await.map(Response::Vote).map_err(|e| failed(&e)),
        Request::Snapshot { vote, meta, data } => {
            if !is_readable(&data) {
                return Err("the snapshot is not understood: is another version of lvs-agent installed here?".to_owned());
            }
            node.heard().now();
            let snapshot = Snapshot { meta, snapshot: data };
            raft.install_full_snapshot(vote, snapshot).await.map(Response::Snapshot).map_err(|e| failed(&e))
        }
        Request::Transfer(request) => raft.handle_transfer_leader(request).await.map(Response::Transfer).map_err(|e| failed(&e)),
        _ => Err("no raft message".to_owned()),
    }
}
