//! Asking other nodes: connections that are kept and reused, one question at a time on each, every question with a deadline.

use super::{
    directory::Directory,
    stream::{self, Connected, NotConnected, Stream},
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        certificate::{Certificate, Subject},
        frame::{FrameError, read_frame, write_frame},
        io::handshake,
        tls::Credentials,
    },
    model::{Fingerprint, NodeId},
    raft::{
        expulsion::Expulsion,
        message::{Hello, HelloRefusal, MAX_FRAME_BYTES, MAX_HELLO_BYTES, PROTOCOL_VERSION, Request, Response, Welcome},
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

mod call_back;
mod call_error;
mod raft_client;

pub use call_back::Greeting;
use call_back::Vouching;
pub use call_error::CallError;
pub use raft_client::Network;

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
    expulsion: Mutex<Expulsion>,
    vouching: Vouching,
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
        let (idle, connecting, refusals, expulsion, vouching) = Default::default();
        let removed = watch::channel(None).0;
        let inner = Inner { who, credentials, idle, connecting, refusals, removed, expulsion, vouching };
        Self { inner: Arc::new(inner) }
    }

    /// What was said when members told this node that it is none any more, once that is believed.
    pub fn removed(&self) -> watch::Receiver<Option<HelloRefusal>> {
        self.inner.removed.subscribe()
    }

    /// Where the member with this number is by now, if this node knows.
    fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
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
    pub async fn call(
        &self,
        to: Option<NodeId>,
        addr: SocketAddr,
        request: &Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let answer = timeout(within, self.ask((to, addr), request)).await;
        answer.unwrap_or_else(|_| {
            // What else is kept leads to the same silence.
            self.idle().remove(&(to, addr));
            Err(CallError::Late { addr, within })
        })
    }

    /// Asks the node at `addr`, whoever it is, what depends on the CAs that it shows.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn call_showing(
        &self,
        addr: SocketAddr,
        request: impl FnOnce(&[Fingerprint]) -> Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let asked = async {
            let mut connected = self.connect((None, addr)).await?;
            let request = request(&connected.authorities);
            let response = exchange(&mut connected.stream, addr, &request).await?;
            self.check_answer(addr, response)
        };
        timeout(within, asked).await.unwrap_or(Err(CallError::Late { addr, within }))
    }

    async fn ask(&self, place: Place, request: &Request) -> Result<Response, CallError> {
        if let Some(mut kept) = self.take(place) {
            match exchange(&mut kept.stream, place.1, request).await {
                Ok(Response::Refused(HelloRefusal::Stale)) | Err(_) => drop(self.idle().remove(&place)),
                Ok(response) => return self.answered(place, kept, response),
            }
        }
        let Connected { stream, .. } = self.connect_apart(place).await?;
        let mut kept = Kept { stream, since: Instant::now() };
        let response = exchange(&mut kept.stream, place.1, request).await?;
        self.answered(place, kept, response)
    }

    fn answered(&self, place: Place, kept: Kept, response: Response) -> Result<Response, CallError> {
        let response = self.check_answer(place.1, response)?;
        self.keep(place, kept);
        Ok(response)
    }

    fn check_answer(&self, addr: SocketAddr, response: Response) -> Result<Response, CallError> {
        match response {
            Response::Refused(refusal) => Err(self.refused(addr, refusal)),
            response => Ok(response),
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

    async fn connect(&self, (to, addr): Place) -> Result<Connected, CallError> {
        let credentials = self.inner.credentials.as_ref().ok_or(CallError::Closed { addr })?;
        let connected = stream::connect(addr, credentials).await;
        let mut connected = connected.map_err(|error| match error {
            NotConnected::Tcp(source) => CallError::Connect { addr, source },
            NotConnected::Tls(source) => {
                self.note_refusal(addr, &source.to_string());
                CallError::Tls { addr, source }
            }
        })?;
        self.check_server(to, addr, &connected.certificate)?;
        self.say_hello(to, addr, &mut connected.stream).await?;
        Ok(connected)
    }

    /// A certificate of our CA alone is not enough: a real server must not be taken for the leader.
    fn check_server(&self, to: Option<NodeId>, addr: SocketAddr, certificate: &Certificate) -> Result<(), CallError> {
        let somebody_else = |found: String| {
            let error = CallError::SomebodyElse { addr, found };
            self.note_refusal(addr, &error.to_string());
            Err(error)
        };
        let Subject::Node { name, id, .. } = &certificate.subject else { return somebody_else("no node".to_owned()) };
        let (expected_name, cluster_id) = match &self.inner.who {
            Who::Stranger => (None, None),
            Who::Member { directory, .. } => (to.and_then(|to| directory.name_of(to)), Some(directory.cluster_id())),
        };
        let is_meant = match (to, id) {
            (Some(to), Some(id)) => to == *id,
            // A certificate that was made elsewhere names no number. Whose number that is, the state says, if it knows already.
            (Some(_), None) => expected_name.is_none_or(|expected| expected == *name),
            (None, _) => true,
        };
        let is_ours = cluster_id.zip(certificate.cluster_id.as_deref()).is_none_or(|(ours, theirs)| ours == theirs);
        if is_meant && is_ours { Ok(()) } else { somebody_else(name.to_string()) }
    }

    async fn say_hello(&self, to: Option<NodeId>, addr: SocketAddr, stream: &mut Stream) -> Result<(), CallError> {
        let (cluster_id, from) = match &self.inner.who {
            Who::Stranger => (None, None),
            Who::Member { me, directory } => (Some(directory.cluster_id().to_owned()), Some(*me)),
        };
        let hello = Hello { version: PROTOCOL_VERSION, cluster_id, from, to };
        write_frame(stream, &hello, MAX_HELLO_BYTES).await.map_err(|error| broken(addr, error))?;
        // Only now is it known whether the other side believes us.
        match read_frame(stream, MAX_HELLO_BYTES).await {
            Ok(Some(Welcome::Welcome)) => {
                self.refusals().remove(&addr);
                self.expulsion().denied_by(addr);
                Ok(())
            }
            Ok(Some(Welcome::No(refusal))) => Err(self.refused(addr, refusal)),
            Ok(None) => Err(CallError::Closed { addr }),
            Err(error) => {
                let error = broken(addr, error);
                self.note_refusal(addr, &error.to_string());
                Err(error)
            }
        }
    }

    fn refused(&self, addr: SocketAddr, refusal: HelloRefusal) -> CallError {
        self.idle().retain(|(_, kept), _| *kept != addr);
        self.note_refusal(addr, &refusal.to_string());
        if let (HelloRefusal::Removed { .. }, Who::Member { me, directory }) = (&refusal, &self.inner.who)
            && self.expulsion().said_by(addr, refusal.clone(), directory.others(*me), BootClock.now())
        {
            self.inner.removed.send_if_modified(|removed| removed.replace(refusal.clone()).is_none());
        }
        CallError::Refused { addr, refusal }
    }

    fn check_silence(&self, addr: SocketAddr) -> Result<(), CallError> {
        // Of a stranger nobody says that it was removed.
        match self.expulsion().quiet(addr, BootClock.now()).cloned() {
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

    fn expulsion(&self) -> MutexGuard<'_, Expulsion> {
        self.inner.expulsion.lock().expect("no holder of this lock panics")
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

async fn exchange(stream: &mut Stream, addr: SocketAddr, request: &Request) -> Result<Response, CallError> {
    write_frame(stream, request, MAX_FRAME_BYTES).await.map_err(|error| broken(addr, error))?;
    let answer = read_frame(stream, request.answer_limit()).await.map_err(|error| broken(addr, error))?;
    answer.ok_or(CallError::Closed { addr })
}

fn broken(addr: SocketAddr, error: FrameError) -> CallError {
    let source = match error {
        FrameError::Stream(error) => FrameError::Stream(handshake::explain(error)),
        other => other,
    };
    CallError::Broken { addr, source }
}
