//! Answering other nodes: one listener, a bounded number of connections, one question at a time on each.

use super::{state_machine::is_readable, stream, stream::Stream};
use crate::{
    clock::{BootClock, BootInstant, Clock},
    link::frame::{read_frame, write_frame},
    model::NodeId,
    raft::{
        message::{
            Hello, HelloRefusal, MAX_FRAME_BYTES, MAX_HELLO_BYTES, MAX_JOIN_BYTES, PROTOCOL_VERSION, Request, Response, Welcome,
        },
        task::RaftNode,
    },
};
use openraft::{raft::AppendEntriesResponse, storage::Snapshot};
use std::{net::SocketAddr, sync::Arc, sync::Mutex, time::Duration};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Connections at a time: four from each of some fifty nodes. More are closed at once; who asked tries again.
const CONNECTIONS: usize = 256;
/// Who connects says hello within this time.
const HELLO_DEADLINE: Duration = Duration::from_secs(3);
/// A connection without a question for so long is closed; peers make a new one when they need it.
const IDLE_DEADLINE: Duration = Duration::from_secs(60);
/// An answer is taken within this time, a snapshot's question sent.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors), so that it is not repeated without end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When this node last heard a leader that it follows.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Option<BootInstant>>);

impl Heard {
    fn now(&self) {
        *self.0.lock().expect("no holder of this lock panics") = Some(BootClock.now());
    }

    /// Time since then.
    pub fn age(&self) -> Option<Duration> {
        let last = *self.0.lock().expect("no holder of this lock panics");
        last.map(|last| BootClock.now().saturating_since(last))
    }
}

/// Takes connections until `shutdown`.
pub async fn serve(listener: TcpListener, node: RaftNode, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            // Cancel-safe, both.
            () = shutdown.cancelled() => return,
            accepted = stream::accept(&listener) => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "raft connection not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(%from, limit = CONNECTIONS, "raft connection closed: too many");
            continue;
        };
        let (node, shutdown) = (node.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                // The connection goes with its future.
                () = shutdown.cancelled() => {}
                () = converse(stream, from, &node) => {}
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: Stream, from: SocketAddr, node: &RaftNode) {
    let Ok(Some(peer)) = timeout(HELLO_DEADLINE, greet(&mut stream, from, node)).await else { return };
    // A node that is no member yet can only ask to become one.
    let limit = if peer.is_member { MAX_FRAME_BYTES } else { MAX_JOIN_BYTES };
    while let Ok(Ok(Some(request))) = timeout(IDLE_DEADLINE, read_frame::<Request>(&mut stream, limit)).await {
        let response = answer(node, &peer, request).await;
        let written = timeout(TRANSFER_DEADLINE, write_frame(&mut stream, &response, MAX_FRAME_BYTES)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// Who is on the other side.
struct Peer {
    is_member: bool,
}

async fn greet(stream: &mut Stream, from: SocketAddr, node: &RaftNode) -> Option<Peer> {
    let hello: Hello = read_frame(stream, MAX_HELLO_BYTES).await.ok()??;
    let refusal = refuse(&hello, node.cluster_id(), node.id());
    let welcome = refusal.clone().map_or(Welcome::Welcome, Welcome::No);
    write_frame(stream, &welcome, MAX_HELLO_BYTES).await.ok()?;
    if let Some(refusal) = refusal {
        tracing::debug!(%from, ?hello, %refusal, "raft connection refused");
        return None;
    }
    Some(Peer { is_member: hello.cluster_id.is_some() })
}

fn refuse(hello: &Hello, cluster_id: &str, me: NodeId) -> Option<HelloRefusal> {
    if hello.version != PROTOCOL_VERSION {
        return Some(HelloRefusal::WrongVersion { theirs: PROTOCOL_VERSION });
    }
    if hello.cluster_id.as_deref().is_some_and(|theirs| theirs != cluster_id) {
        return Some(HelloRefusal::WrongCluster { theirs: cluster_id.to_owned() });
    }
    hello.to.filter(|to| *to != me).map(|_| HelloRefusal::SomebodyElse { theirs: me })
}

async fn answer(node: &RaftNode, peer: &Peer, request: Request) -> Response {
    match request {
        Request::Join(request) => Response::Joined(node.admit(request).await),
        _ if !peer.is_member => Response::Failed("only members may ask that".to_owned()),
        Request::Propose(change) => Response::Proposed(node.propose_here(change).await),
        Request::Leave(name) => Response::Proposed(node.let_go(name).await),
        request => answer_raft(node, request).await.unwrap_or_else(Response::Failed),
    }
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
        Request::Propose(_) | Request::Join(_) | Request::Leave(_) => Err("no raft message".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello { version: PROTOCOL_VERSION, cluster_id: Some("a".to_owned()), from: Some(NodeId(2)), to: Some(NodeId(1)) }
    }

    #[test]
    fn members_of_this_cluster_and_strangers_are_heard() {
        assert_eq!(refuse(&hello(), "a", NodeId(1)), None);
        assert_eq!(refuse(&Hello { cluster_id: None, from: None, to: None, ..hello() }, "a", NodeId(1)), None);
    }

    #[test]
    fn other_versions_other_clusters_and_words_for_a_former_number_are_refused() {
        let newer = Hello { version: PROTOCOL_VERSION + 1, ..hello() };
        assert_eq!(refuse(&newer, "a", NodeId(1)), Some(HelloRefusal::WrongVersion { theirs: PROTOCOL_VERSION }));
        assert_eq!(refuse(&hello(), "b", NodeId(1)), Some(HelloRefusal::WrongCluster { theirs: "b".to_owned() }));
        assert_eq!(refuse(&hello(), "a", NodeId(7)), Some(HelloRefusal::SomebodyElse { theirs: NodeId(7) }));
    }
}
