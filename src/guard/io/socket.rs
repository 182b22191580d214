//! The guard's UDP socket: lease messages in and out of their envelopes.

use crate::{
    link::{
        codec,
        datagram::{HEADER_BYTES, Kind, Rejected, Seal},
    },
    model::NodeId,
    vip::Message,
};
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// The longest lease message is a refusal with a membership of a few voters: some 200 bytes.
const MAX_MESSAGE_BYTES: usize = 8 << 10;
/// DSCP CS6, network control: switches that look at it let renewals pass before bulk traffic.
const TRAFFIC_CLASS: u32 = 0xc0;

/// A lease message that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Which node.
    pub from: NodeId,
    /// Where an answer reaches it.
    pub source: SocketAddr,
    /// What it said.
    pub message: Message,
}

/// Bound once, for the life of the guard; speaks once it has a seal.
#[derive(Debug)]
pub struct LeaseSocket {
    socket: UdpSocket,
    seal: Option<Seal>,
    buffer: Box<[u8]>,
}

impl LeaseSocket {
    /// Listens on `listen`; says and understands nothing yet.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(listen)?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        // Best effort: it works without.
        let _ = if listen.is_ipv4() { options.set_tos_v4(TRAFFIC_CLASS) } else { options.set_tclass_v6(TRAFFIC_CLASS) };
        // One byte more than is allowed, so that a datagram that was cut has the wrong length and is refused.
        let buffer = vec![0; HEADER_BYTES + MAX_MESSAGE_BYTES + 1].into_boxed_slice();
        Ok(Self { socket: UdpSocket::from_std(socket)?, seal: None, buffer })
    }

    /// Speaks as the node and for the cluster of `seal` from now on.
    pub fn speak_with(&mut self, seal: Seal) {
        self.seal = Some(seal);
    }

    /// Waits for one datagram; `None` when it was no lease message of this cluster. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Incoming> {
        let (length, source) = match self.socket.recv_from(&mut self.buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receiving failed");
                return None;
            }
        };
        let seal = self.seal.as_ref()?;
        let (header, body) = match seal.open(Kind::Lease, &self.buffer[..length]) {
            Ok(opened) => opened,
            Err(why) => {
                log_rejected(seal, why, source);
                return None;
            }
        };
        match codec::decode(body, MAX_MESSAGE_BYTES) {
            Ok(message) => Some(Incoming { from: header.sender, source, message }),
            Err(error) => {
                tracing::warn!(%error, %source, node = %header.sender, "lease message is not understood");
                None
            }
        }
    }

    /// Sends one message now or not at all: what the network or a full buffer loses is asked again.
    pub fn send(&self, to: SocketAddr, message: &Message) {
        let Some(seal) = &self.seal else { return };
        let body = match codec::encode(message, MAX_MESSAGE_BYTES) {
            Ok(body) => body,
            Err(error) => return tracing::error!(%error, "lease message cannot be encoded"),
        };
        let sealed = seal.seal(Kind::Lease, &body).expect("MAX_MESSAGE_BYTES fits a datagram");
        // Past tokio's readiness, which would refuse the first datagram before it has ever polled the socket.
        if let Err(error) = socket2::SockRef::from(&self.socket).send_to(&sealed, &to.into()) {
            tracing::debug!(%error, %to, "sending failed");
        }
    }
}

/// One warning for each reason; the rest is counted.
fn log_rejected(seal: &Seal, why: Rejected, source: SocketAddr) {
    if seal.rejected(why) == 1 {
        tracing::warn!(%why, %source, "datagram refused, further ones are only counted");
    } else {
        tracing::debug!(%why, %source, "datagram refused");
    }
}
