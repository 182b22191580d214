//! chitchat's messages over UDP, each sealed by `link::datagram`.

use crate::{
    clock::{BootClock, BootInstant, Clock},
    gossip::{
        hearsay::{Heard, Hearsay, Voice},
        refusal::Refusals,
    },
    link::datagram::{MAX_DATAGRAM_BYTES, Opened, Rejected, Seal},
};
use chitchat::{
    ChitchatMessage, Serializable,
    transport::{Socket, Transport},
};
use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::UdpSocket;

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
    hearsay: Arc<Mutex<Hearsay>>,
    losses: Arc<Losses>,
}

impl SealedUdp {
    /// Speaks with `seal`, believes by `hearsay`.
    pub fn new(seal: Seal, hearsay: Hearsay) -> Self {
        Self { seal, hearsay: Arc::new(Mutex::new(hearsay)), losses: Arc::default() }
    }

    /// What is believed. Not to be held over an await: nothing is received meanwhile.
    pub fn hearsay(&self) -> MutexGuard<'_, Hearsay> {
        self.hearsay.lock().expect("no holder of this lock panics")
    }

    /// What was lost so far.
    pub fn losses(&self) -> &Losses {
        &self.losses
    }
}

#[async_trait::async_trait]
impl Transport for SealedUdp {
    async fn open(&self, listen: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let socket = UdpSocket::bind(listen).await?;
        let buffer = vec![0; MAX_DATAGRAM_BYTES].into_boxed_slice();
        Ok(Box::new(SealedSocket { socket, transport: self.clone(), buffer, body: Vec::new(), refusals: Refusals::default() }))
    }
}

struct SealedSocket {
    socket: UdpSocket,
    transport: SealedUdp,
    buffer: Box<[u8]>,
    body: Vec<u8>,
    refusals: Refusals,
}

impl SealedSocket {
    fn lost_if(&self, sent: std::io::Result<usize>, to: SocketAddr) {
        if let Err(error) = sent {
            self.transport.losses.unsent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%to, %error, "gossip datagram not sent");
        }
    }

    /// What a datagram says to chitchat, if it says anything. Nothing in it waits, so there is nothing to cancel.
    fn open(&mut self, from: SocketAddr, datagram: &mut [u8], now: BootInstant) -> Option<ChitchatMessage> {
        let seal = self.transport.seal.clone();
        match seal.open(from, datagram, now) {
            Ok(Opened::Body { header, body }) => {
                self.weigh(Voice { node: header.sender, session: header.session, now }, from, body)
            }
            Ok(Opened::Answer(answer)) => {
                self.lost_if(socket2::SockRef::from(&self.socket).send_to(&answer, &from.into()), from);
                None
            }
            Ok(Opened::Nothing) => None,
            Err(why) => {
                log_refused(&seal, why, from, now);
                None
            }
        }
    }

    /// What chitchat may have of it. Said in the log once a minute for each reason; the rest is counted.
    fn weigh(&mut self, by: Voice, from: SocketAddr, body: &[u8]) -> Option<ChitchatMessage> {
        let heard = self.transport.hearsay().hear(by, body);
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
        self.body.clear();
        message.serialize(&mut self.body);
        match self.transport.seal.seal(to, &self.body) {
            Ok(datagram) => self.lost_if(self.socket.send_to(&datagram, to).await, to),
            Err(error) => tracing::debug!(%to, %error, "gossip datagram not sent"),
        }
        Ok(())
    }

    /// Cancel-safe: a datagram is taken from the socket in the same step in which it is returned.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let (length, from) = match self.socket.recv_from(&mut self.buffer).await {
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

#[cfg(test)]
mod tests;
