//! A member that does not vote: it hears whatever is asked, and answers as if it did.

use super::{
    Nanos, TTL,
    world::{Event, World},
};
use lvs_agent::{
    model::NodeId,
    vip::{LeaseMembership, LeaseMessage, MembershipId, message::RefusalReason},
};
use std::collections::BTreeMap;

/// Its number, which is no node's.
pub const LIAR: NodeId = NodeId(1_000);
/// Quicker than anybody who has to read the question first.
const DELAY: Nanos = TTL / 30_000;
/// Of a thousand questions that it overhears, how many it answers.
const OFTEN: u64 = 20;

impl World {
    /// Makes what it can of a datagram that `from` sends to `to`.
    pub(super) fn overhear(&mut self, from: usize, to: NodeId, message: &LeaseMessage) {
        let LeaseMessage::Ask { group, round, membership, epoch, .. } = message.clone() else { return };
        let answer = if to == LIAR {
            LeaseMessage::Grant { group, round, epoch }
        } else if self.dice.chance(OFTEN) {
            let why = if self.dice.chance(900) {
                let id = MembershipId { index: membership.index + 1_000, ..membership };
                RefusalReason::NewerMembership(LeaseMembership { id, voters: vec![[LIAR].into()], addresses: BTreeMap::new() })
            } else {
                RefusalReason::OldRound { last: u64::MAX }
            };
            LeaseMessage::Refuse { group, round, why, epoch }
        } else {
            return;
        };
        self.after(DELAY, Event::Arrive { to: from, from: LIAR, message: answer });
    }
}
