//! chitchat's messages over UDP, each in the envelope of `link::datagram`.

use crate::link::datagram::{Kind, MAX_DATAGRAM_BYTES, Seal};
use chitchat::{
    ChitchatMessage, Deserializable, Serializable,
    transport::{Socket, Transport},
};
use std::{
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::net::UdpSocket;

/// How long receiving rests after the kernel was short of memory, so that a lasting shortage is not a busy loop.
const REST: Duration = Duration::from_millis(20);

/// What went wrong with datagrams that are not rejected by their envelope.
#[derive(Debug, Default)]
pub struct Losses {
    /// Not sent: the kernel refused, or the message is too long for one datagram.
    pub unsent: AtomicU64,
    /// The envelope was good, what was in it was not.
    pub garbled: AtomicU64,
}

/// Makes the sockets that chitchat speaks through. Datagrams from another cluster never reach chitchat; [`Seal::rejections`] counts them.
#[derive(Clone, Debug)]
pub struct SealedUdp {
    seal: Seal,
    losses: Arc<Losses>,
}

impl SealedUdp {
    /// Speaks in the envelopes of `seal`.
    pub fn new(seal: Seal) -> Self {
        Self { seal, losses: Arc::default() }
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
        Ok(Box::new(SealedSocket { socket, seal: self.seal.clone(), losses: self.losses.clone(), buffer, body: Vec::new() }))
    }
}

struct SealedSocket {
    socket: UdpSocket,
    seal: Seal,
    losses: Arc<Losses>,
    buffer: Box<[u8]>,
    body: Vec<u8>,
}

#[async_trait::async_trait]
impl Socket for SealedSocket {
    /// Never an error: a peer that cannot be reached now is no reason to stop gossiping with the others.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        self.body.clear();
        message.serialize(&mut self.body);
        let sent = match self.seal.seal(Kind::Gossip, &self.body) {
            Ok(datagram) => self.socket.send_to(&datagram, to).await.map_err(|error| error.to_string()),
            Err(too_long) => Err(too_long.to_string()),
        };
        if let Err(error) = sent {
            self.losses.unsent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%to, %error, "gossip datagram not sent");
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
            let Ok((_, mut body)) = self.seal.open(Kind::Gossip, &self.buffer[..length]) else { continue };
            match ChitchatMessage::deserialize(&mut body) {
                Ok(message) => return Ok((from, message)),
                Err(error) => {
                    self.losses.garbled.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%from, %error, "gossip datagram not understood");
                }
            }
        }
    }
}
