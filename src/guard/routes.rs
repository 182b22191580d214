//! Where the guards of other nodes are reached. Pure.

use crate::{
    model::NodeId,
    vip::{LeaseMembership, LeaseMessage, RefusalReason},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// More nodes than that do not hold VIPs; whoever is not remembered is reached by its address in the membership.
const MAX_HEARD: usize = 1024;

/// See the file's first line.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Where members' guards listen, by the membership told last and by refusals that taught a newer one.
    listening: BTreeMap<NodeId, SocketAddr>,
    /// Where nodes last spoke from: the only address of a candidate that is no voter.
    heard: BTreeMap<NodeId, SocketAddr>,
}

impl Routes {
    /// The worker told the effective membership.
    pub fn membership(&mut self, membership: &LeaseMembership) {
        self.listening.clone_from(&membership.addresses);
    }

    /// A node has said something, from there.
    pub fn heard(&mut self, from: NodeId, source: SocketAddr, message: &LeaseMessage) {
        if self.heard.len() < MAX_HEARD || self.heard.contains_key(&from) {
            self.heard.insert(from, source);
        }
        // Voters alone are believed here, and there is room for as many as a cluster may have.
        if let LeaseMessage::Refuse { why: RefusalReason::NewerMembership(newer), .. } = message
            && self.listening.contains_key(&from)
        {
            for (node, address) in &newer.addresses {
                if self.listening.len() < MAX_HEARD {
                    self.listening.entry(*node).or_insert(*address);
                }
            }
        }
    }

    /// Where this message reaches `node`: an answer goes where the question came from, everything else where the node listens.
    pub fn address_of(&self, node: NodeId, message: &LeaseMessage) -> Option<SocketAddr> {
        let (listening, heard) = (self.listening.get(&node), self.heard.get(&node));
        let address = match message {
            LeaseMessage::Grant { .. } | LeaseMessage::Refuse { .. } | LeaseMessage::Offer { .. } => heard.or(listening),
            LeaseMessage::Ask { .. }
            | LeaseMessage::Release { .. }
            | LeaseMessage::HandOver { .. }
            | LeaseMessage::Seek { .. } => listening.or(heard),
        };
        address.copied()
    }
}
