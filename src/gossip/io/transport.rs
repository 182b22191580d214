//! chitchat's messages over UDP, each sealed by `link::datagram`: a short one in one datagram, a longer one in a few. What is longer still goes over the
//! members' TLS connections, by way of a [`Mailbox`]; for no datagram is ever cut into fragments, which many networks drop.

use crate::{
    clock::{BootClock, BootInstant, Clock},
    gossip::{
        pace::Pace,
        parts::{self, Assembly},
        refusal::{Refusal, Refusals},
        validation::{Heard, Validation, Voice},
    },
    link::{
        datagram::{MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, Opened, Rejected, Seal},
        io::udp,
        parcel::{Delivery, Mailbox, Parcel},
    },
};
use chitchat::{
    ChitchatMessage, Serializable,
    transport::{Socket, Transport},
};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{Notify, mpsc},
};

/// How long receiving rests after the kernel was short of memory, so that a lasting shortage is not a busy loop.
const REST: Duration = Duration::from_millis(20);

/// What went wrong with datagrams that the seal did not refuse.
#[derive(Debug, Default)]
pub struct Losses {
    /// Not sent: the kernel refused.
    pub unsent: AtomicU64,
    /// Genuine, and still nothing that an honest node says.
    pub garbled: AtomicU64,
    /// Taken, but not all that was said of others.
    pub doubted: AtomicU64,
}

/// Makes the sockets that chitchat speaks through. What is not a member's never reaches chitchat; [`Seal::rejections`] counts it. What a seal
/// answers by itself is answered here. What a member says that no honest one would does not reach chitchat either.
#[derive(Clone, Debug)]
pub struct SealedUdp {
    seal: Seal,
    validation: Arc<Mutex<Validation>>,
    /// Time between two rounds of gossip.
    interval: Duration,
    overtaken: Arc<Notify>,
    losses: Arc<Losses>,
    post: Arc<Post>,
}

/// The way of messages that are too long for datagrams, where there is one.
#[derive(Debug, Default)]
struct Post {
    /// This start of the agent.
    session: u64,
    out: Option<mpsc::Sender<Parcel>>,
    /// Until there is a socket, which then has it.
    inbox: Mutex<Option<mpsc::Receiver<Delivery>>>,
}

impl SealedUdp {
    /// Speaks with `seal`, believes by `validation`. Rounds are an `interval` apart.
    pub fn new(seal: Seal, validation: Validation, interval: Duration) -> Self {
        let (overtaken, losses, post) = Default::default();
        Self { seal, validation: Arc::new(Mutex::new(validation)), interval, overtaken, losses, post }
    }

    /// Has another way for what is too long for datagrams. `session` is this start of the agent.
    #[must_use]
    pub fn with_mailbox(self, session: u64, Mailbox { out, inbox }: Mailbox) -> Self {
        let post = Post { session, out: Some(out), inbox: Mutex::new(Some(inbox)) };
        Self { post: Arc::new(post), ..self }
    }

    /// What is believed. Not to be held over an await: nothing is received meanwhile.
    pub fn validation(&self) -> MutexGuard<'_, Validation> {
        self.validation.lock().expect("no holder of this lock panics")
    }

    /// Somebody thinks that this node has counted further than it has: [`Validation::overtaken`] says how far. Cancel-safe.
    pub async fn overtaken(&self) {
        self.overtaken.notified().await;
    }

    /// What was lost so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }
}

#[async_trait::async_trait]
impl Transport for SealedUdp {
    async fn open(&self, listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        // Of what it sends nobody waits until there is room: each datagram that has left would wake this task.
        // SAFETY: a socket has the same descriptor for as long as it lives, and lives in what is made here.
        let socket = unsafe { AsyncFd::register_with_interest(udp::bind(listen)?, Interest::READABLE) }?;
        // One byte more than is allowed, so that a datagram that was cut has the wrong length and is refused.
        let buffer = vec![0; MAX_DATAGRAM_BYTES + 1].into_boxed_slice();
        let inbox = self.post.inbox.lock().expect("no holder of this lock panics").take();
        let (body, refusals, assembly, in_parts) = Default::default();
        let pace = Pace::new(self.interval);
        Ok(Box::new(SealedSocket { socket, transport: self.clone(), buffer, body, pace, refusals, assembly, in_parts, inbox }))
    }
}

struct SealedSocket {
    socket: AsyncFd<UdpSocket>,
    transport: SealedUdp,
    buffer: Box<[u8]>,
    body: Vec<u8>,
    pace: Pace,
    refusals: Refusals,
    assembly: Assembly,
    /// Messages sent in parts so far.
    in_parts: u32,
    inbox: Option<mpsc::Receiver<Delivery>>,
}

/// What came of sending.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is on its way, or lost as the network loses.
    Gone,
    /// The interface is too narrow for it.
    TooWide,
}

impl SealedSocket {
    fn lost_if(&self, sent: std::io::Result<usize>, to: SocketAddr) -> Sent {
        let Err(error) = sent else { return Sent::Gone };
        self.transport.losses.unsent.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%to, %error, "gossip datagram not sent");
        if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) { Sent::TooWide } else { Sent::Gone }
    }

    /// Now or not at all: what a full buffer loses the network might have lost.
    fn send_sealed(&self, to: SocketAddr, body: &[u8]) -> Sent {
        match self.transport.seal.seal(to, body) {
            Ok(datagram) => self.lost_if(self.socket.get_ref().send_to(&datagram, to), to),
            Err(error) => {
                tracing::debug!(%to, %error, "gossip datagram not sent");
                Sent::Gone
            }
        }
    }

    /// By datagrams, as far as the message and the interface allow.
    fn send_by_datagrams(&mut self, to: SocketAddr, body: &[u8]) -> Sent {
        if body.len() <= MAX_BODY_BYTES {
            return self.send_sealed(to, body);
        }
        let Some(parts) = parts::split(self.in_parts, body) else { return Sent::TooWide };
        self.in_parts = self.in_parts.wrapping_add(1);
        for part in parts {
            if self.send_sealed(to, &part) == Sent::TooWide {
                return Sent::TooWide;
            }
        }
        Sent::Gone
    }

    /// By the other way, if there is one and it has room.
    fn post(&self, to: SocketAddr, body: Vec<u8>) {
        let Post { session, out, .. } = &*self.transport.post;
        let member = self.transport.validation().member_at(to);
        let parcel = member.map(|member| Parcel { member, session: *session, body });
        if parcel.zip(out.as_ref()).is_none_or(|(parcel, out)| out.try_send(parcel).is_err()) {
            self.transport.losses.unsent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%to, "gossip is too long for datagrams, and there is no other way now");
        }
    }

    /// What came by the other way. Whose it is TLS says; an earlier start's last words are as late as a datagram's would be.
    fn unpack(&mut self, Parcel { member, session, body }: &Parcel, now: BootInstant) -> Option<(SocketAddr, ChitchatMessage)> {
        let from = self.transport.validation().address_of(*member)?;
        if self.transport.seal.session_of(*member).is_none_or(|latest| *session < latest) {
            tracing::debug!(node = %member, "gossip of an earlier start of a node came late");
            return None;
        }
        let by = Voice { node: *member, session: *session, now };
        let heard = self.hear(by, body);
        Some((from, self.weigh(by, from, heard)?))
    }

    /// What a body says that came in a datagram: itself, or as the last part of a longer one.
    fn read(&mut self, by: Voice, body: &[u8]) -> Result<Option<Heard>, Refusal> {
        if !parts::is_part(body) {
            return self.hear(by, body).map(Some);
        }
        let whole = self.assembly.add(by, body)?;
        whole.map(|whole| self.hear(by, &whole)).transpose()
    }

    /// What a datagram says to chitchat, if it says anything. Nothing in it waits, so there is nothing to cancel.
    fn open(&mut self, from: SocketAddr, datagram: &mut [u8], now: BootInstant) -> Option<ChitchatMessage> {
        let seal = self.transport.seal.clone();
        match seal.open(from, datagram, now) {
            Ok(Opened::Body { header, body }) => {
                let by = Voice { node: header.sender, session: header.session, now };
                let heard = self.read(by, body).transpose()?;
                self.weigh(by, from, heard)
            }
            Ok(Opened::Answer(answer)) => {
                let _ = self.lost_if(self.socket.get_ref().send_to(&answer, from), from);
                None
            }
            Ok(Opened::Nothing) => None,
            Err(why) => {
                log_refused(&seal, why, from, now);
                None
            }
        }
    }

    /// What a whole message of a member says.
    fn hear(&self, by: Voice, body: &[u8]) -> Result<Heard, Refusal> {
        let mut validation = self.transport.validation();
        let heard = validation.hear(by, body);
        if validation.is_overtaken() {
            self.transport.overtaken.notify_one();
        }
        heard
    }

    /// What chitchat may have of it. LocalState in the log once a minute for each reason; the rest is counted.
    fn weigh(&mut self, by: Voice, from: SocketAddr, heard: Result<Heard, Refusal>) -> Option<ChitchatMessage> {
        let losses = &self.transport.losses;
        match heard {
            Ok(Heard { message, doubts }) => {
                losses.doubted.fetch_add(u64::from(!doubts.is_empty()), Ordering::Relaxed);
                for why in doubts {
                    match self.refusals.count(why, by.now) {
                        Some(count) => {
                            tracing::warn!(node = %by.node, %from, %why, count, "a part of a member's gossip is not believed")
                        }
                        None => tracing::debug!(node = %by.node, %from, %why, "a part of a member's gossip is not believed"),
                    }
                }
                Some(message)
            }
            Err(why) => {
                losses.garbled.fetch_add(1, Ordering::Relaxed);
                match self.refusals.count(why, by.now) {
                    Some(count) => {
                        tracing::warn!(node = %by.node, %from, %why, count, "a member's gossip is refused: no honest agent of this version sends it")
                    }
                    None => tracing::debug!(node = %by.node, %from, %why, "a member's gossip is refused"),
                }
                None
            }
        }
    }
}

/// One line a minute for each reason; the rest is counted.
fn log_refused(seal: &Seal, why: Rejected, from: SocketAddr, now: BootInstant) {
    match seal.line_due(why, now) {
        Some(count) => tracing::warn!(%why, %from, count, "gossip datagram refused"),
        None => tracing::debug!(%why, %from, "gossip datagram refused"),
    }
}

#[async_trait::async_trait]
impl Socket for SealedSocket {
    /// Never an error: a peer that cannot be reached now is no reason to stop gossiping with the others.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        message.serialize(&mut body);
        if !self.pace.is_needed(to, &body, BootClock.now()) {
            self.body = body;
        } else if self.send_by_datagrams(to, &body) == Sent::TooWide {
            self.post(to, body);
        } else {
            self.body = body;
        }
        Ok(())
    }

    /// Cancel-safe: a datagram or a parcel is taken in the same step in which it is returned.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let received = tokio::select! {
                received = self.socket.async_io(Interest::READABLE, |socket| socket.recv_from(&mut self.buffer)) => received,
                delivery = next(&mut self.inbox) => match self.unpack(&delivery.parcel, BootClock.now()) {
                    Some(heard) => return Ok(heard),
                    None => continue,
                },
            };
            let (length, from) = match received {
                Ok(received) => received,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => continue,
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    tokio::time::sleep(REST).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let now = BootClock.now();
            let mut datagram = std::mem::take(&mut self.buffer);
            let message = self.open(from, &mut datagram[..length], now);
            self.buffer = datagram;
            if let Some(message) = message {
                return Ok((from, message));
            }
        }
    }
}

/// The next parcel; without an end if there will be none.
async fn next(inbox: &mut Option<mpsc::Receiver<Delivery>>) -> Delivery {
    if let Some(parcels) = inbox {
        match parcels.recv().await {
            Some(delivery) => return delivery,
            None => *inbox = None,
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
