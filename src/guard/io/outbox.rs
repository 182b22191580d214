//! Lease messages that wait for each other, so that those for the same guard go in one datagram.

use super::socket::{LeaseSocket, MAX_LIST_BYTES};
use crate::{link::codec::Lists, vip::LeaseMessage};
use std::net::SocketAddr;

/// So many receivers are remembered, with room for their messages: more than a holder has voters and candidates.
const MOST_REMEMBERED: usize = 64;

/// Messages by receiver, each in its order. What was sent leaves its room behind, because the same receivers come again with the next renewal.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: Vec<(SocketAddr, Lists<LeaseMessage>)>,
}

impl Outbox {
    /// Keeps a message until [`Outbox::send`].
    pub fn put(&mut self, to: SocketAddr, message: &LeaseMessage) {
        let known = self.messages.iter().position(|(receiver, _)| *receiver == to);
        let at = known.unwrap_or_else(|| {
            self.messages.push((to, Lists::new(MAX_LIST_BYTES)));
            self.messages.len() - 1
        });
        if let Err(error) = self.messages[at].1.push(message) {
            tracing::error!(%error, "lease message cannot be encoded");
        }
    }

    /// Sends all that wait. Call it before anything that takes time or that others must not see before these messages.
    pub fn send(&mut self, socket: &LeaseSocket) {
        for (to, lists) in &mut self.messages {
            lists.drain(|body| socket.send(*to, body));
        }
        self.messages.truncate(MOST_REMEMBERED);
    }
}
