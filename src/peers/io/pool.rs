//! Sends questions to other nodes: connections are kept and reused, one question at a time on each, every question with a deadline.

use super::{
    call_error::CallError,
    directory::Directory,
    stream::{OpenConnection, Stream},
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        codec,
        frame::{FrameError, read_frame, write_frame},
        io::handshake,
        tls::Credentials,
    },
    model::{Fingerprint, NodeId},
    peers::{
        hello::HelloRefusal,
        question::{AnswerFrame, Ask, MAX_FRAME_BYTES, QuestionFrame},
        removal_report::RemovalReports,
    },
};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::{Instant, timeout},
};

mod connect;
mod greet;

pub use greet::GreetingPurpose;

/// Kept connections to one peer: for entries, heartbeats, a snapshot and a proposal at the same time. As many may be in the making.
const PER_PEER: usize = 4;
/// A connection is made within this time. It continues when the question that it was made for ends: a heartbeat's deadline is shorter than a
/// handshake between two busy machines, so otherwise no connection would ever be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Older connections are made anew, so that a renewed certificate takes effect on them, and a CA that is not trusted any more.
const OLD: Duration = Duration::from_secs(10 * 60);

/// The peer and the address of a connection.
type PoolKey = (Option<NodeId>, SocketAddr);

struct PooledConnection {
    stream: Stream,
    since: Instant,
}

impl PooledConnection {
    /// Whether the connection is young and still open. An idle connection carries no data, so anything that can be read is its end.
    fn is_good(&self) -> bool {
        let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.since.elapsed() < OLD && self.stream.get_ref().0.try_read(&mut [0]).is_err_and(silent)
    }
}

/// This node's side of its connections.
enum LocalSide {
    /// A node that only asks to join, or for its certificate.
    Stranger,
    /// A member.
    Member { me: NodeId, directory: Directory },
}

/// Connections to peers. Clones share them.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    who: LocalSide,
    /// `None`: no peer can be asked.
    credentials: Option<Credentials>,
    idle: Mutex<BTreeMap<PoolKey, Vec<PooledConnection>>>,
    connecting: Mutex<BTreeMap<PoolKey, usize>>,
    refusals: Mutex<BTreeMap<SocketAddr, String>>,
    removed: watch::Sender<Option<HelloRefusal>>,
    removal_reports: Mutex<RemovalReports>,
    untrusted: watch::Sender<Option<String>>,
}

impl Peers {
    /// The connections of a member.
    pub fn of_member(me: NodeId, directory: Directory, credentials: Credentials) -> Self {
        Self::new(LocalSide::Member { me, directory }, Some(credentials))
    }

    /// The connections of a node that asks to join, or for its certificate.
    pub fn of_stranger(credentials: Credentials) -> Self {
        Self::new(LocalSide::Stranger, Some(credentials))
    }

    /// For a founder, which has no peers.
    pub fn nobody() -> Self {
        Self::new(LocalSide::Stranger, None)
    }

    fn new(who: LocalSide, credentials: Option<Credentials>) -> Self {
        let (idle, connecting, refusals, removal_reports) = Default::default();
        let (removed, untrusted) = (watch::channel(None).0, watch::channel(None).0);
        let inner = Inner { who, credentials, idle, connecting, refusals, removed, removal_reports, untrusted };
        Self { inner: Arc::new(inner) }
    }

    /// The removal report of this node, once it is believed.
    pub fn removed(&self) -> watch::Receiver<Option<HelloRefusal>> {
        self.inner.removed.subscribe()
    }

    /// The reason of one member, if no member that answers trusts this node's certificate, nor this node theirs; `None`: some do.
    pub fn untrusted(&self) -> Option<String> {
        self.inner.untrusted.borrow().clone()
    }

    /// Sets what [`Peers::untrusted`] gives.
    pub fn set_untrusted(&self, why: Option<String>) {
        self.inner.untrusted.send_replace(why);
    }

    /// The present address of the member with this number, if this node knows it.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        match &self.inner.who {
            LocalSide::Stranger => None,
            LocalSide::Member { directory, .. } => directory.address_of(id),
        }
    }

    /// Asks the node at `addr`, which must be `to` where that is given.
    ///
    /// A kept connection may have died unnoticed; the question is then sent once more over a new one. So a question must be harmless when it is
    /// received twice.
    ///
    /// # Errors
    /// No answer.
    pub async fn call<Q: Ask>(
        &self,
        to: Option<NodeId>,
        addr: SocketAddr,
        asked: &Q,
        within: Duration,
    ) -> Result<Q::Answer, CallError> {
        let question = QuestionFrame::of(asked).map_err(|source| CallError::TooLong { addr, source })?;
        let reply = timeout(within, self.ask((to, addr), &question)).await.unwrap_or_else(|_| {
            // The other kept connections to this address will not answer either.
            self.idle().remove(&(to, addr));
            Err(CallError::Late { addr, within })
        });
        answer_of::<Q>(addr, reply?)
    }

    /// Asks the node at `addr`, without expecting a certain one. The question may depend on the CAs that the node shows.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn call_showing<Q: Ask>(
        &self,
        addr: SocketAddr,
        asked: impl FnOnce(&[Fingerprint]) -> Q,
        within: Duration,
    ) -> Result<Q::Answer, CallError> {
        let exchanged = async {
            let mut connected = self.connect((None, addr)).await?;
            let question =
                QuestionFrame::of(&asked(&connected.authorities)).map_err(|source| CallError::TooLong { addr, source })?;
            self.check_reply(addr, exchange(&mut connected.stream, addr, &question).await?)
        };
        let reply = timeout(within, exchanged).await.unwrap_or(Err(CallError::Late { addr, within }));
        answer_of::<Q>(addr, reply?)
    }

    async fn ask(&self, place: PoolKey, question: &QuestionFrame) -> Result<AnswerFrame, CallError> {
        if let Some(mut kept) = self.take(place) {
            match exchange(&mut kept.stream, place.1, question).await {
                Ok(AnswerFrame::Refused(HelloRefusal::Stale)) | Err(_) => drop(self.idle().remove(&place)),
                Ok(reply) => return self.answered(place, kept, reply),
            }
        }
        let OpenConnection { stream, .. } = self.connect_apart(place).await?;
        let mut kept = PooledConnection { stream, since: Instant::now() };
        let reply = exchange(&mut kept.stream, place.1, question).await?;
        self.answered(place, kept, reply)
    }

    fn answered(&self, place: PoolKey, kept: PooledConnection, reply: AnswerFrame) -> Result<AnswerFrame, CallError> {
        let reply = self.check_reply(place.1, reply)?;
        self.keep(place, kept);
        Ok(reply)
    }

    fn check_reply(&self, addr: SocketAddr, reply: AnswerFrame) -> Result<AnswerFrame, CallError> {
        match reply {
            AnswerFrame::Refused(refusal) => Err(self.refused(addr, refusal)),
            reply => Ok(reply),
        }
    }

    fn take(&self, place: PoolKey) -> Option<PooledConnection> {
        let mut idle = self.idle();
        let kept = idle.get_mut(&place)?;
        kept.retain(PooledConnection::is_good);
        kept.pop()
    }

    fn keep(&self, place: PoolKey, kept: PooledConnection) {
        let mut idle = self.idle();
        let places = idle.entry(place).or_default();
        if places.len() < PER_PEER {
            places.push(kept);
        }
    }

    /// Connects in a task of its own. When the caller does not wait any more, the connection is kept for the next question.
    async fn connect_apart(&self, place: PoolKey) -> Result<OpenConnection, CallError> {
        let addr = place.1;
        self.check_silence(addr)?;
        let Some(turn) = ConnectPermit::take(self, place) else { return Err(CallError::Connecting { addr }) };
        let (done, connected) = oneshot::channel();
        let peers = self.clone();
        tokio::spawn(async move {
            let connected = timeout(CONNECT_DEADLINE, peers.connect(place)).await;
            drop(turn);
            let connected = connected.unwrap_or(Err(CallError::Late { addr, within: CONNECT_DEADLINE }));
            if let Err(Ok(OpenConnection { stream, .. })) = done.send(connected) {
                peers.keep(place, PooledConnection { stream, since: Instant::now() });
            }
        });
        connected.await.unwrap_or(Err(CallError::Closed { addr }))
    }

    fn refused(&self, addr: SocketAddr, refusal: HelloRefusal) -> CallError {
        self.idle().retain(|(_, kept), _| *kept != addr);
        self.note_refusal(addr, &refusal.to_string());
        if let (HelloRefusal::Removed { .. }, LocalSide::Member { me, directory }) = (&refusal, &self.inner.who)
            && self.removal_reports().said_by(addr, refusal.clone(), directory.others(*me), BootClock.now())
        {
            self.inner.removed.send_if_modified(|removed| removed.replace(refusal.clone()).is_none());
        }
        CallError::Refused { addr, refusal }
    }

    fn check_silence(&self, addr: SocketAddr) -> Result<(), CallError> {
        // Only a member can have been removed.
        match self.removal_reports().quiet(addr, BootClock.now()).cloned() {
            Some(refusal) => Err(CallError::Refused { addr, refusal }),
            None => Ok(()),
        }
    }

    /// A peer is asked many times a second; its refusal is logged once.
    fn note_refusal(&self, addr: SocketAddr, why: &str) {
        if matches!(self.inner.who, LocalSide::Stranger) {
            // The caller reports the refusal.
            return;
        }
        let former = self.refusals().insert(addr, why.to_owned());
        if former.as_deref() != Some(why) {
            tracing::warn!(%addr, why, "a peer refuses connections of this node");
        }
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<PoolKey, Vec<PooledConnection>>> {
        self.inner.idle.lock().expect("no holder of this lock panics")
    }

    fn removal_reports(&self) -> MutexGuard<'_, RemovalReports> {
        self.inner.removal_reports.lock().expect("no holder of this lock panics")
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, String>> {
        self.inner.refusals.lock().expect("no holder of this lock panics")
    }
}

/// The permit to make one of the few connections to one peer.
struct ConnectPermit {
    peers: Peers,
    place: PoolKey,
}

impl ConnectPermit {
    fn take(peers: &Peers, place: PoolKey) -> Option<Self> {
        let mut connecting = peers.inner.connecting.lock().expect("no holder of this lock panics");
        let count = connecting.entry(place).or_default();
        if *count >= PER_PEER {
            return None;
        }
        *count += 1;
        Some(Self { peers: peers.clone(), place })
    }
}

impl Drop for ConnectPermit {
    fn drop(&mut self) {
        let mut connecting = self.peers.inner.connecting.lock().expect("no holder of this lock panics");
        if let Some(count) = connecting.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                connecting.remove(&self.place);
            }
        }
    }
}

async fn exchange(stream: &mut Stream, addr: SocketAddr, question: &QuestionFrame) -> Result<AnswerFrame, CallError> {
    // The frame of a reply adds a few bytes to the answer.
    let limit = question.topic.answer_limit() + 64;
    write_frame(stream, question, MAX_FRAME_BYTES).await.map_err(|error| broken(addr, error))?;
    let reply = read_frame(stream, limit).await.map_err(|error| broken(addr, error))?;
    reply.ok_or(CallError::Closed { addr })
}

fn answer_of<Q: Ask>(addr: SocketAddr, reply: AnswerFrame) -> Result<Q::Answer, CallError> {
    match reply {
        AnswerFrame::Answer(bytes) => {
            codec::decode(&bytes, Q::TOPIC.answer_limit()).map_err(|source| CallError::Answer { addr, source })
        }
        AnswerFrame::Refused(refusal) => Err(CallError::Refused { addr, refusal }),
        AnswerFrame::Failed(why) => Err(CallError::Failed { addr, why }),
    }
}

fn broken(addr: SocketAddr, error: FrameError) -> CallError {
    let source = match error {
        FrameError::Stream(error) => FrameError::Stream(handshake::explain(error)),
        other => other,
    };
    CallError::Broken { addr, source }
}
