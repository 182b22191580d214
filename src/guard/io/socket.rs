//! The guard's UDP socket: lease messages, sealed and opened.

use crate::{
    clock::{BootClock, BootInstant, Clock},
    guard::clock_rates::ClockStamp,
    link::{
        codec,
        datagram::{MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, Opened, Rejected, Seal},
        io::udp,
    },
    model::{NodeId, PublicKey},
    rules::security::KeyRing,
    vip::LeaseMessage,
};
use std::{collections::BTreeMap, io, net::SocketAddr};
use tokio::net::UdpSocket;

/// The longest list of messages. The longest message is a refusal with a joint membership of ten voters: some 500 bytes. Short ones go in one datagram.
pub const MAX_LIST_BYTES: usize = MAX_BODY_BYTES - STAMP_BYTES;
/// Before the list: three numbers.
const STAMP_BYTES: usize = 27;
/// DSCP CS6, network control: switches that look at it let renewals pass before bulk traffic.
const TRAFFIC_CLASS: u32 = 0xc0;

/// Lease messages that came in together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// Which node.
    pub from: NodeId,
    /// Where an answer reaches it.
    pub source: SocketAddr,
    /// Which start of its guard.
    pub session: u64,
    /// What that says of clocks.
    pub stamp: ClockStamp,
    /// When it came.
    pub at: BootInstant,
    /// What it said, in this order.
    pub messages: Vec<LeaseMessage>,
}

/// Bound once, for the life of the guard, as soon as its address is there; speaks once it has a seal.
#[derive(Debug)]
pub struct LeaseSocket {
    /// Where it listens, or is to.
    pub listen: SocketAddr,
    socket: Option<UdpSocket>,
    seal: Option<Seal>,
    /// What others' clocks showed in the latest datagram of each. Members only.
    heard: BTreeMap<SocketAddr, HeardClock>,
    buffer: Box<[u8]>,
}

/// What another guard's clock showed, and when that came.
#[derive(Clone, Copy, Debug)]
struct HeardClock {
    node: NodeId,
    session: u64,
    read_ns: u64,
    at: BootInstant,
}

impl LeaseSocket {
    /// Will listen on `listen`.
    pub fn new(listen: SocketAddr) -> Self {
        // One byte more than is allowed, so that a datagram that was cut has the wrong length and is refused.
        let buffer = vec![0; MAX_DATAGRAM_BYTES + 1].into_boxed_slice();
        Self { listen, socket: None, seal: None, heard: BTreeMap::new(), buffer }
    }

    /// Listens; says and understands nothing yet. An address that is not on this machine is an `AddrNotAvailable`.
    pub fn bind(&mut self) -> io::Result<()> {
        let socket = udp::bind(self.listen)?;
        let options = socket2::SockRef::from(&socket);
        // Best effort: it works without.
        let _ = if self.listen.is_ipv4() { options.set_tos_v4(TRAFFIC_CLASS) } else { options.set_tclass_v6(TRAFFIC_CLASS) };
        self.socket = Some(UdpSocket::from_std(socket)?);
        Ok(())
    }

    /// Speaks as the node and for the cluster of `seal` from now on, with those whom [`LeaseSocket::speakers`] names after that.
    pub fn speak_with(&mut self, seal: Seal) {
        self.seal = Some(seal);
        self.heard.clear();
    }

    /// Who is heard and spoken to from now on, and with which keys. What is known of those that stay is kept.
    pub fn speakers(&mut self, keyring: &KeyRing, members: &BTreeMap<NodeId, (SocketAddr, PublicKey)>) {
        self.heard.retain(|_, heard| members.contains_key(&heard.node));
        match &self.seal {
            Some(seal) => seal.update(keyring, members),
            None => tracing::warn!("the worker names speakers before it has said who this node is"),
        }
    }

    /// Waits for one datagram; `None` when it was no member's lease messages to this start of the guard. Without end before it listens. Cancel-safe.
    pub async fn receive(&mut self) -> Option<Incoming> {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        let (length, source) = match socket.recv_from(&mut self.buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "receiving failed");
                return None;
            }
        };
        let (seal, now) = (self.seal.as_ref()?, BootClock.now());
        let (header, body) = match seal.open(source, &mut self.buffer[..length], now) {
            Ok(Opened::Body { header, body }) => (header, body),
            Ok(Opened::Answer(datagram)) => {
                send_now(socket, source, &datagram);
                return None;
            }
            Ok(Opened::Nothing) => return None,
            Err(why) => {
                log_refused(seal, why, source, now);
                return None;
            }
        };
        match codec::decode::<(ClockStamp, _)>(body, MAX_BODY_BYTES) {
            Ok((stamp, messages)) => {
                let (from, session) = (header.sender, header.session);
                self.heard.insert(source, HeardClock { node: from, session, read_ns: stamp.read_ns, at: now });
                Some(Incoming { from, source, session, stamp, at: now, messages })
            }
            Err(error) => {
                tracing::warn!(%error, %source, node = %header.sender, "lease messages are not understood");
                None
            }
        }
    }

    /// Sends an encoded list of messages now or not at all: what the network or a full buffer loses is asked again.
    pub fn send(&self, to: SocketAddr, list: &[u8]) {
        let (Some(socket), Some(seal)) = (&self.socket, &self.seal) else { return };
        // Of an earlier start of that guard nothing is told: its clock may have begun anew.
        let heard = self.heard.get(&to).filter(|heard| seal.session_of(heard.node) == Some(heard.session));
        let stamp = ClockStamp::new(BootClock.now(), heard.map(|heard| (heard.read_ns, heard.at)));
        let mut body = codec::encode(&stamp, STAMP_BYTES).expect("three numbers take 27 bytes at most");
        body.extend_from_slice(list);
        match seal.seal(to, &body) {
            Ok(datagram) => send_now(socket, to, &datagram),
            Err(error) => tracing::debug!(%error, "lease messages are not sent"),
        }
    }
}

/// Past tokio's readiness, which would refuse the first datagram before it has ever polled the socket.
fn send_now(socket: &UdpSocket, to: SocketAddr, datagram: &[u8]) {
    if let Err(error) = socket2::SockRef::from(socket).send_to(datagram, &to.into()) {
        tracing::debug!(%error, %to, "sending failed");
    }
}

/// One line a minute for each reason; the rest is counted.
fn log_refused(seal: &Seal, why: Rejected, source: SocketAddr, now: BootInstant) {
    match seal.line_due(why, now) {
        Some(count) => tracing::warn!(%why, %source, count, "lease datagram refused"),
        None => tracing::debug!(%why, %source, "lease datagram refused"),
    }
}

#[cfg(test)]
mod tests;
