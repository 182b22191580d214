//! Asking other nodes: connections that are kept and reused, one question at a time on each, every question with a deadline.

use super::stream::{self, Stream};
use crate::{
    link::frame::{FrameError, read_frame, write_frame},
    model::NodeId,
    raft::message::{Hello, HelloRefusal, MAX_FRAME_BYTES, MAX_HELLO_BYTES, PROTOCOL_VERSION, Request, Response, Welcome},
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::timeout;

mod raft_client;

pub use raft_client::Network;

/// Kept connections to one peer: entries, heartbeat, a snapshot, a proposal at the same time.
const IDLE_PER_PEER: usize = 4;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other side does not talk to us.
    #[error("{addr} refuses to talk: {refusal}")]
    Refused {
        /// Who.
        addr: SocketAddr,
        /// Why.
        #[source]
        refusal: HelloRefusal,
    },
    /// The connection broke.
    #[error("connection to {addr} failed: {source}")]
    Broken {
        /// Who.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// The other side closed the connection instead of answering.
    #[error("{addr} closed the connection")]
    Closed {
        /// Who.
        addr: SocketAddr,
    },
    /// No answer in time.
    #[error("{addr} did not answer within {within:?}")]
    Late {
        /// Who.
        addr: SocketAddr,
        /// The deadline.
        within: Duration,
    },
}

/// Kept connections by who is meant, and where.
type Idle = BTreeMap<(Option<NodeId>, SocketAddr), Vec<Stream>>;

/// Connections to peers. Clones share them.
#[derive(Clone)]
pub struct Peers {
    cluster_id: Option<Arc<str>>,
    me: Option<NodeId>,
    idle: Arc<Mutex<Idle>>,
    refusals: Arc<Mutex<BTreeMap<SocketAddr, HelloRefusal>>>,
}

impl Peers {
    /// For a member of `cluster_id`.
    pub fn of_member(cluster_id: &str, me: NodeId) -> Self {
        Self { cluster_id: Some(cluster_id.into()), me: Some(me), idle: Arc::default(), refusals: Arc::default() }
    }

    /// For a node that is in no cluster yet: it may only ask to join.
    pub fn of_stranger() -> Self {
        Self { cluster_id: None, me: None, idle: Arc::default(), refusals: Arc::default() }
    }

    /// Asks the node at `addr`, which must be `to` where that is given.
    ///
    /// A kept connection may have died unnoticed; the question is then put once more over a new one. Whoever asks must not mind being heard twice.
    ///
    /// # Errors
    /// No answer.
    pub async fn call(
        &self,
        to: Option<NodeId>,
        addr: SocketAddr,
        request: &Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let answer = timeout(within, self.ask(to, addr, request)).await;
        answer.unwrap_or_else(|_| {
            // What else is kept leads to the same silence.
            self.idle().remove(&(to, addr));
            Err(CallError::Late { addr, within })
        })
    }

    async fn ask(&self, to: Option<NodeId>, addr: SocketAddr, request: &Request) -> Result<Response, CallError> {
        let kept = self.idle().get_mut(&(to, addr)).and_then(Vec::pop);
        if let Some(mut stream) = kept {
            match exchange(&mut stream, addr, request).await {
                Ok(response) => return Ok(self.keep(to, addr, stream, response)),
                Err(_) => drop(self.idle().remove(&(to, addr))),
            }
        }
        let mut stream = self.connect(to, addr).await?;
        let response = exchange(&mut stream, addr, request).await?;
        Ok(self.keep(to, addr, stream, response))
    }

    fn keep(&self, to: Option<NodeId>, addr: SocketAddr, stream: Stream, response: Response) -> Response {
        let mut idle = self.idle();
        let kept = idle.entry((to, addr)).or_default();
        if kept.len() < IDLE_PER_PEER {
            kept.push(stream);
        }
        response
    }

    async fn connect(&self, to: Option<NodeId>, addr: SocketAddr) -> Result<Stream, CallError> {
        let mut stream = stream::connect(addr).await.map_err(|source| CallError::Connect { addr, source })?;
        let cluster_id = self.cluster_id.as_deref().map(str::to_owned);
        let hello = Hello { version: PROTOCOL_VERSION, cluster_id, from: self.me, to };
        let broken = |source| CallError::Broken { addr, source };
        write_frame(&mut stream, &hello, MAX_HELLO_BYTES).await.map_err(broken)?;
        match read_frame(&mut stream, MAX_HELLO_BYTES).await.map_err(broken)? {
            Some(Welcome::Welcome) => {
                self.refusals.lock().expect("no holder of this lock panics").remove(&addr);
                Ok(stream)
            }
            Some(Welcome::No(refusal)) => {
                self.note_refusal(addr, &refusal);
                Err(CallError::Refused { addr, refusal })
            }
            None => Err(CallError::Closed { addr }),
        }
    }

    /// A peer is asked many times a second; that it refuses is said once.
    fn note_refusal(&self, addr: SocketAddr, refusal: &HelloRefusal) {
        let former = self.refusals.lock().expect("no holder of this lock panics").insert(addr, refusal.clone());
        if former.as_ref() != Some(refusal) {
            tracing::warn!(%addr, %refusal, "raft peer refuses to talk");
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}

async fn exchange(stream: &mut Stream, addr: SocketAddr, request: &Request) -> Result<Response, CallError> {
    let broken = |source| CallError::Broken { addr, source };
    write_frame(stream, request, MAX_FRAME_BYTES).await.map_err(broken)?;
    read_frame(stream, MAX_FRAME_BYTES).await.map_err(broken)?.ok_or(CallError::Closed { addr })
}
