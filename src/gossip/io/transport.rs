//! chitchat's messages over UDP, each in the envelope of `link::datagram`.

use crate::{
    gossip::bound,
    link::datagram::{Kind, MAX_DATAGRAM_BYTES, Seal},
};
use chitchat::{
    ChitchatMessage, Serializable,
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
            let Ok((_, body)) = self.seal.open(Kind::Gossip, &self.buffer[..length]) else { continue };
            match bound::read(body) {
                Ok(message) => return Ok((from, message)),
                Err(error) => {
                    self.losses.garbled.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%from, %error, "gossip datagram not understood");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{link::datagram::HEADER_BYTES, model::NodeId};
    use proptest::prelude::*;

    fn transport(cluster: &str, sender: u64) -> SealedUdp {
        SealedUdp::new(Seal::new(cluster, NodeId(sender), 1))
    }

    #[tokio::test]
    async fn only_whole_messages_of_the_own_cluster_come_through() {
        let (here, there, stranger) = (transport("blue", 1), transport("blue", 2), transport("green", 3));
        let port = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (here_addr, there_addr) = (port(), port());
        let mut receiver = here.open(here_addr).await.unwrap();
        let bare = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        bare.send_to(b"", here_addr).await.unwrap();
        bare.send_to(&[7; HEADER_BYTES + 9], here_addr).await.unwrap();
        bare.send_to(&here.seal.seal(Kind::Gossip, b"no gossip").unwrap(), here_addr).await.unwrap();
        stranger.open(port()).await.unwrap().send(here_addr, ChitchatMessage::BadCluster).await.unwrap();
        there.open(there_addr).await.unwrap().send(here_addr, ChitchatMessage::BadCluster).await.unwrap();
        assert_eq!(receiver.recv().await.unwrap(), (there_addr, ChitchatMessage::BadCluster));
        let rejected = here.seal.rejections();
        assert_eq!((rejected.length, rejected.magic, rejected.cluster), (1, 1, 1));
        assert_eq!(here.losses().garbled.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_reached_is_no_error() {
        let sender = transport("blue", 1);
        let mut socket = sender.open("127.0.0.1:0".parse().unwrap()).await.unwrap();
        // A loopback socket cannot send to another network.
        socket.send("192.0.2.1:7400".parse().unwrap(), ChitchatMessage::BadCluster).await.unwrap();
        assert_eq!(sender.losses().unsent.load(Ordering::Relaxed), 1);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_decoder_panic(kind in 0_u8..4, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            // chitchat's magic number and version, so that what comes after them is reached.
            let body = [&[0x53, 0xb0, 0, kind], &rest[..]].concat();
            let _ = bound::read(&body);
        }
    }
}
