//! Lease messages that wait for each other, so that those for the same guard go in one datagram.

use super::socket::LeaseSocket;
use crate::vip::LeaseMessage;
use std::{collections::BTreeMap, mem, net::SocketAddr};

/// Messages by receiver, each in its order.
#[derive(Debug, Default)]
pub struct Outbox {
    messages: BTreeMap<SocketAddr, Vec<LeaseMessage>>,
}

impl Outbox {
    /// Keeps a message until [`Outbox::send`].
    pub fn put(&mut self, to: SocketAddr, message: LeaseMessage) {
        self.messages.entry(to).or_default().push(message);
    }

    /// Sends all that wait. Call it before anything that takes time or that others must not see before these messages.
    pub fn send(&mut self, socket: &LeaseSocket) {
        for (to, messages) in mem::take(&mut self.messages) {
            socket.send(to, &messages);
        }
    }
}
