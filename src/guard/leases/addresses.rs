//! Where the guards of other nodes are reached.

use crate::{
    model::NodeId,
    vip::{LeaseMembership, LeaseMessage, RefusalReason},
};
use std::{collections::BTreeMap, net::SocketAddr};

/// More nodes than that do not hold VIPs; whoever is not remembered is reached by its address in the membership.
const MAX_HEARD: usize = 1024;

/// See the file's first line.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Where voters' guards listen, by the membership told last and by refusals that taught a newer one.
    listening: BTreeMap<NodeId, SocketAddr>,
    /// Where all members' guards listen. Two candidates that do not vote ask each other nothing, and would not know otherwise.
    members: BTreeMap<NodeId, SocketAddr>,
    /// Where nodes last spoke from: the only address of one that is a member only as others know.
    heard: BTreeMap<NodeId, SocketAddr>,
}

impl Addresses {
    /// The worker told the effective membership.
    pub fn membership_is(&mut self, membership: &LeaseMembership) {
        self.listening.clone_from(&membership.addresses);
    }

    /// The worker told where each member's guard listens.
    pub fn members_are(&mut self, members: BTreeMap<NodeId, SocketAddr>) {
        self.members = members;
    }

    /// `from` said something.
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

    /// An answer goes where the question came from, everything else where the node listens.
    pub fn of(&self, node: NodeId, message: &LeaseMessage) -> Option<SocketAddr> {
        let (heard, listening) = (self.heard.get(&node), self.listening.get(&node).or_else(|| self.members.get(&node)));
        let address = match message {
            LeaseMessage::Grant { .. } | LeaseMessage::Refuse { .. } => heard.or(listening),
            LeaseMessage::Ask { .. }
            | LeaseMessage::Release { .. }
            | LeaseMessage::HandOver { .. }
            | LeaseMessage::Seek { .. }
            | LeaseMessage::Offer { .. }
            | LeaseMessage::Advert { .. } => listening.or(heard),
        };
        address.copied()
    }
}
