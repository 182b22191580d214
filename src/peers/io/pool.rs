//! Asking other nodes: connections that are kept and reused, one question at a time on each, every question with a deadline.

use super::{
    call_error::CallError,
    directory::Directory,
    stream::{Connected, Stream},
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
        question::{Ask, MAX_FRAME_BYTES, Question, Reply},
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

pub use greet::Greeting;

/// Kept connections to one peer: entries, heartbeat, a snapshot, a proposal at the same time. And as many being made.
const PER_PEER: usize = 4;
/// A connection is made within this time. It is not given up with the question that it was made for: a heartbeat's deadline is shorter than a
/// handshake between two machines that have much to do, and then no connection would ever be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Older connections are made anew: this is how a renewed certificate, or a CA that is trusted no more, comes to count on them.
const OLD: Duration = Duration::from_secs(10 * 60);

/// Whom a connection is to, and where.
type Place = (Option<NodeId>, SocketAddr);

struct Kept {
    stream: Stream,
    since: Instant,
}

impl Kept {
    /// It is young, and the other side has not closed it. Nothing is said on a connection that waits for a question, so whatever can be read is its end.
    fn is_good(&self) -> bool {
        let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.since.elapsed() < OLD && self.stream.get_ref().0.try_read(&mut [0]).is_err_and(silent)
    }
}

/// As whom this node speaks.
enum Who {
    /// One that only asks to join, or for its certificate.
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
    who: Who,
    /// `None`: nobody can be asked.
    credentials: Option<Credentials>,
    idle: Mutex<BTreeMap<Place, Vec<Kept>>>,
    connecting: Mutex<BTreeMap<Place, usize>>,
    refusals: Mutex<BTreeMap<SocketAddr, String>>,
    removed: watch::Sender<Option<HelloRefusal>>,
    removal_reports: Mutex<RemovalReports>,
    untrusted: watch::Sender<Option<String>>,
}

impl Peers {
    /// For a member.
    pub fn of_member(me: NodeId, directory: Directory, credentials: Credentials) -> Self {
        Self::new(Who::Member { me, directory }, Some(credentials))
    }

    /// For one that asks to join or for its certificate.
    pub fn of_stranger(credentials: Credentials) -> Self {
        Self::new(Who::Stranger, Some(credentials))
    }

    /// For a founder, which is alone.
    pub fn nobody() -> Self {
        Self::new(Who::Stranger, None)
    }

    fn new(who: Who, credentials: Option<Credentials>) -> Self {
        let (idle, connecting, refusals, removal_reports) = Default::default();
        let (removed, untrusted) = (watch::channel(None).0, watch::channel(None).0);
        let inner = Inner { who, credentials, idle, connecting, refusals, removed, removal_reports, untrusted };
        Self { inner: Arc::new(inner) }
    }

    /// What was said when members told this node that it is none any more, once that is believed.
    pub fn removed(&self) -> watch::Receiver<Option<HelloRefusal>> {
        self.inner.removed.subscribe()
    }

    /// What members say that answer this node and trust it no more than it trusts them; `None`: some do.
    pub fn untrusted(&self) -> Option<String> {
        self.inner.untrusted.borrow().clone()
    }

    /// Notes it.
    pub fn set_untrusted(&self, why: Option<String>) {
        self.inner.untrusted.send_replace(why);
    }

    /// Where the member with this number is by now, if this node knows.
    pub fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        match &self.inner.who {
            Who::Stranger => None,
            Who::Member { directory, .. } => directory.address_of(id),
        }
    }

    /// Asks the node at `addr`, which must be `to` where that is given.
    ///
    /// A kept connection may have died unnoticed; the question is then put once more over a new one. Whoever asks must not mind being heard twice.
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
        let question = Question::of(asked).map_err(|source| CallError::TooLong { addr, source })?;
        let reply = timeout(within, self.ask((to, addr), &question)).await.unwrap_or_else(|_| {
            // What else is kept leads to the same silence.
            self.idle().remove(&(to, addr));
            Err(CallError::Late { addr, within })
        });
        answer_of::<Q>(addr, reply?)
    }

    /// Asks the node at `addr`, whoever it is, what depends on the CAs that it shows.
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
            let question = Question::of(&asked(&connected.authorities)).map_err(|source| CallError::TooLong { addr, source })?;
            self.check_reply(addr, exchange(&mut connected.stream, addr, &question).await?)
        };
        let reply = timeout(within, exchanged).await.unwrap_or(Err(CallError::Late { addr, within }));
        answer_of::<Q>(addr, reply?)
    }

    async fn ask(&self, place: Place, question: &Question) -> Result<Reply, CallError> {
        if let Some(mut kept) = self.take(place) {
            match exchange(&mut kept.stream, place.1, question).await {
                Ok(Reply::Refused(HelloRefusal::Stale)) | Err(_) => drop(self.idle().remove(&place)),
                Ok(reply) => return self.answered(place, kept, reply),
            }
        }
        let Connected { stream, .. } = self.connect_apart(place).await?;
        let mut kept = Kept { stream, since: Instant::now() };
        let reply = exchange(&mut kept.stream, place.1, question).await?;
        self.answered(place, kept, reply)
    }

    fn answered(&self, place: Place, kept: Kept, reply: Reply) -> Result<Reply, CallError> {
        let reply = self.check_reply(place.1, reply)?;
        self.keep(place, kept);
        Ok(reply)
    }

    fn check_reply(&self, addr: SocketAddr, reply: Reply) -> Result<Reply, CallError> {
        match reply {
            Reply::Refused(refusal) => Err(self.refused(addr, refusal)),
            reply => Ok(reply),
        }
    }

    fn take(&self, place: Place) -> Option<Kept> {
        let mut idle = self.idle();
        let kept = idle.get_mut(&place)?;
        kept.retain(Kept::is_good);
        kept.pop()
    }

    fn keep(&self, place: Place, kept: Kept) {
        let mut idle = self.idle();
        let places = idle.entry(place).or_default();
        if places.len() < PER_PEER {
            places.push(kept);
        }
    }

    /// Connects in a task of its own. When nobody waits for it any more, the connection is kept for the next question.
    async fn connect_apart(&self, place: Place) -> Result<Connected, CallError> {
        let addr = place.1;
        self.check_silence(addr)?;
        let Some(turn) = Turn::take(self, place) else { return Err(CallError::Connecting { addr }) };
        let (done, connected) = oneshot::channel();
        let peers = self.clone();
        tokio::spawn(async move {
            let connected = timeout(CONNECT_DEADLINE, peers.connect(place)).await;
            drop(turn);
            let connected = connected.unwrap_or(Err(CallError::Late { addr, within: CONNECT_DEADLINE }));
            if let Err(Ok(Connected { stream, .. })) = done.send(connected) {
                peers.keep(place, Kept { stream, since: Instant::now() });
            }
        });
        connected.await.unwrap_or(Err(CallError::Closed { addr }))
    }

    fn refused(&self, addr: SocketAddr, refusal: HelloRefusal) -> CallError {
        self.idle().retain(|(_, kept), _| *kept != addr);
        self.note_refusal(addr, &refusal.to_string());
        if let (HelloRefusal::Removed { .. }, Who::Member { me, directory }) = (&refusal, &self.inner.who)
            && self.removal_reports().said_by(addr, refusal.clone(), directory.others(*me), BootClock.now())
        {
            self.inner.removed.send_if_modified(|removed| removed.replace(refusal.clone()).is_none());
        }
        CallError::Refused { addr, refusal }
    }

    fn check_silence(&self, addr: SocketAddr) -> Result<(), CallError> {
        // Of a stranger nobody says that it was removed.
        match self.removal_reports().quiet(addr, BootClock.now()).cloned() {
            Some(refusal) => Err(CallError::Refused { addr, refusal }),
            None => Ok(()),
        }
    }

    /// A peer is asked many times a second; that it refuses is said once.
    fn note_refusal(&self, addr: SocketAddr, why: &str) {
        if matches!(self.inner.who, Who::Stranger) {
            // Whoever asks says it.
            return;
        }
        let former = self.refusals().insert(addr, why.to_owned());
        if former.as_deref() != Some(why) {
            tracing::warn!(%addr, why, "raft peer refuses to talk");
        }
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<Place, Vec<Kept>>> {
        self.inner.idle.lock().expect("no holder of this lock panics")
    }

    fn removal_reports(&self) -> MutexGuard<'_, RemovalReports> {
        self.inner.removal_reports.lock().expect("no holder of this lock panics")
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, String>> {
        self.inner.refusals.lock().expect("no holder of this lock panics")
    }
}

/// One of the few connections that are being made to one place.
struct Turn {
    peers: Peers,
    place: Place,
}

impl Turn {
    fn take(peers: &Peers, place: Place) -> Option<Self> {
        let mut connecting = peers.inner.connecting.lock().expect("no holder of this lock panics");
        let count = connecting.entry(place).or_default();
        if *count >= PER_PEER {
            return None;
        }
        *count += 1;
        Some(Self { peers: peers.clone(), place })
    }
}

impl Drop for Turn {
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

async fn exchange(stream: &mut Stream, addr: SocketAddr, question: &Question) -> Result<Reply, CallError> {
    // A reply's own few bytes stand around the answer.
    let limit = question.topic.answer_limit() + 64;
    write_frame(stream, question, MAX_FRAME_BYTES).await.map_err(|error| broken(addr, error))?;
    let reply = read_frame(stream, limit).await.map_err(|error| broken(addr, error))?;
    reply.ok_or(CallError::Closed { addr })
}

fn answer_of<Q: Ask>(addr: SocketAddr, reply: Reply) -> Result<Q::Answer, CallError> {
    match reply {
        Reply::Answer(bytes) => {
            codec::decode(&bytes, Q::TOPIC.answer_limit()).map_err(|source| CallError::Answer { addr, source })
        }
        Reply::Refused(refusal) => Err(CallError::Refused { addr, refusal }),
        Reply::Failed(why) => Err(CallError::Failed { addr, why }),
    }
}

fn broken(addr: SocketAddr, error: FrameError) -> CallError {
    let source = match error {
        FrameError::Stream(error) => FrameError::Stream(handshake::explain(error)),
        other => other,
    };
    CallError::Broken { addr, source }
}
