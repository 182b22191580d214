//! chitchat's messages over UDP, each sealed by `link::datagram`.

use crate::{
    clock::{BootClock, BootInstant, Clock},
    gossip::bound,
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
        Arc,
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
    /// Genuine, and still no message of chitchat's.
    pub garbled: AtomicU64,
}

/// Makes the sockets that chitchat speaks through. What is not a member's never reaches chitchat; [`Seal::rejections`] counts it. What a seal
/// answers by itself is answered here.
#[derive(Clone, Debug)]
pub struct SealedUdp {
    seal: Seal,
    losses: Arc<Losses>,
}

impl SealedUdp {
    /// Speaks with `seal`.
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

impl SealedSocket {
    fn lost_if(&self, sent: std::io::Result<usize>, to: SocketAddr) {
        if let Err(error) = sent {
            self.losses.unsent.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%to, %error, "gossip datagram not sent");
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
        match self.seal.seal(to, &self.body) {
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
            let body = match self.seal.open(from, &mut self.buffer[..length], now) {
                Ok(Opened::Body { body, .. }) => body,
                Ok(Opened::Answer(datagram)) => {
                    // Without waiting, so that there is nothing to cancel.
                    self.lost_if(socket2::SockRef::from(&self.socket).send_to(&datagram, &from.into()), from);
                    continue;
                }
                Ok(Opened::Nothing) => continue,
                Err(why) => {
                    log_refused(&self.seal, why, from, now);
                    continue;
                }
            };
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
    use crate::{
        link::{
            datagram::{HEADER_BYTES, Kind},
            node_key::NodeKey,
        },
        model::{KeyId, NodeId, Secret},
        rules::security::KeyRing,
    };
    use proptest::prelude::*;

    struct Node {
        id: NodeId,
        addr: SocketAddr,
        key: Arc<NodeKey>,
        transport: SealedUdp,
    }

    fn nodes(clusters: [&str; 3]) -> [Node; 3] {
        let mut id = 0;
        let nodes = clusters.map(|cluster| {
            id += 1;
            let key = Arc::new(NodeKey::generate());
            let addr = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let transport = SealedUdp::new(Seal::new(Kind::Gossip, cluster, NodeId(id), 1, key.clone()));
            Node { id: NodeId(id), addr, key, transport }
        });
        let keys = [(KeyId(1), Secret::new([7; 32]))].into();
        let ring = KeyRing { primary: Some(KeyId(1)), keys, ..KeyRing::default() };
        let members = nodes.iter().map(|node| (node.id, (node.addr, node.key.public()))).collect();
        nodes.iter().for_each(|node| node.transport.seal.update(&ring, &members));
        nodes
    }

    #[tokio::test]
    async fn only_whole_messages_of_members_come_through_the_first_after_a_notice() {
        let [here, there, stranger] = nodes(["blue", "blue", "green"]);
        let mut receiver = here.transport.open(here.addr).await.unwrap();
        let mut sender = there.transport.open(there.addr).await.unwrap();
        let bare = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        bare.send_to(b"", here.addr).await.unwrap();
        bare.send_to(&[7; HEADER_BYTES + 100], here.addr).await.unwrap();
        stranger.transport.open(stranger.addr).await.unwrap().send(here.addr, ChitchatMessage::BadCluster).await.unwrap();
        sender.send(here.addr, ChitchatMessage::BadCluster).await.unwrap();
        // The sender serves its socket too: there the notice comes in, and the message goes out again.
        let serve = tokio::spawn(async move { sender.recv().await.map(|(from, _)| from) });
        assert_eq!(receiver.recv().await.unwrap(), (there.addr, ChitchatMessage::BadCluster));
        let rejected = here.transport.seal.rejections();
        assert_eq!((rejected.of(Rejected::Length), rejected.of(Rejected::Magic), rejected.of(Rejected::Cluster)), (1, 1, 1));
        // A member that says something senseless is not understood, and the next message is.
        let senseless = there.transport.seal.seal(here.addr, b"no gossip").unwrap();
        receiver.send(there.addr, ChitchatMessage::BadCluster).await.unwrap();
        assert_eq!(serve.await.unwrap().unwrap(), here.addr);
        let bare = UdpSocket::bind(there.addr).await.unwrap();
        bare.send_to(&senseless, here.addr).await.unwrap();
        bare.send_to(&there.transport.seal.seal(here.addr, &message(&ChitchatMessage::BadCluster)).unwrap(), here.addr)
            .await
            .unwrap();
        assert_eq!(receiver.recv().await.unwrap().0, there.addr);
        assert_eq!(here.transport.losses().garbled.load(Ordering::Relaxed), 1);
    }

    fn message(message: &ChitchatMessage) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.serialize(&mut bytes);
        bytes
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_reached_is_no_error() {
        let [here, ..] = nodes(["blue"; 3]);
        let far: SocketAddr = "192.0.2.1:7400".parse().unwrap();
        let ring = KeyRing { primary: Some(KeyId(1)), keys: [(KeyId(1), Secret::new([7; 32]))].into(), ..KeyRing::default() };
        here.transport.seal.update(&ring, &[(NodeId(9), (far, here.key.public()))].into());
        let mut socket = here.transport.open("127.0.0.1:0".parse().unwrap()).await.unwrap();
        // A loopback socket cannot send to another network.
        socket.send(far, ChitchatMessage::BadCluster).await.unwrap();
        assert_eq!(here.transport.losses().unsent.load(Ordering::Relaxed), 1);
        // And nobody is sent anything who is no member.
        socket.send("127.0.0.1:9".parse().unwrap(), ChitchatMessage::BadCluster).await.unwrap();
        assert_eq!(here.transport.seal.unsent(), 1);
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
