//! Those who lie: a member that does not vote, hears whatever is asked, and answers as if it did; and a voter that makes honest promises and says
//! whatever else it likes. (One that promised the same lease twice would make two holders: no rule can prevent that.)

use super::{
    Nanos, TTL,
    node::listens_at,
    world::{Event, World},
};
use lvs_agent::{
    model::NodeId,
    vip::{LeaseMembership, LeaseMessage, MembershipId, message::RefusalReason},
};
use std::collections::BTreeSet;

/// Its number, which is no node's.
pub const LIAR: NodeId = NodeId(1_000);
/// Quicker than anybody who has to read the question first.
const DELAY: Nanos = TTL / 30_000;
/// Of a thousand questions that it overhears, how many it answers.
const OFTEN: u64 = 20;

/// Of a thousand answers of the lying voter, how many are lies.
const LIES: u64 = 300;

impl World {
    /// What the lying voter says in place of `answer`.
    pub(super) fn lie(&mut self, voter: usize, answer: LeaseMessage) -> LeaseMessage {
        let (LeaseMessage::Grant { group, round, life, epoch, .. } | LeaseMessage::Refuse { group, round, life, epoch, .. }) =
            answer.clone()
        else {
            return answer;
        };
        if !self.dice.chance(LIES) {
            return answer;
        }
        let liar = NodeId(voter as u64);
        let known = self.log.effective(voter).id;
        let remaining = std::time::Duration::from_secs(1 << 40);
        let why = match self.dice.below(6) {
            // Far ahead of everybody, or as if it were the entry that others are about to name.
            0 | 1 => newer_membership(MembershipId { index: known.index + 1_000, ..known }, liar),
            2 => newer_membership(MembershipId { index: known.index + self.dice.below(2), ..known }, liar),
            3 => RefusalReason::OldRound { last: self.dice.pick(&[u64::MAX, (1 << 60) - 1, round + 1_000]).unwrap_or(round) },
            4 => RefusalReason::Quiet { remaining },
            _ => RefusalReason::Held { by: NodeId(self.dice.below(self.nodes.len() as u64)), remaining },
        };
        LeaseMessage::Refuse { group, round, life, why, epoch }
    }

    /// Makes what it can of a datagram that `from` sends to `to`.
    pub(super) fn overhear(&mut self, from: usize, to: NodeId, message: &LeaseMessage) {
        let LeaseMessage::Ask { group, round, life, membership, epoch, .. } = message.clone() else { return };
        let answer = if to == LIAR {
            LeaseMessage::Grant { group, round, life, lacking: BTreeSet::new(), epoch }
        } else if self.dice.chance(OFTEN) {
            let why = if self.dice.chance(900) {
                newer_membership(MembershipId { index: membership.index + 1_000, ..membership }, LIAR)
            } else {
                RefusalReason::OldRound { last: u64::MAX }
            };
            LeaseMessage::Refuse { group, round, life, why, epoch }
        } else {
            return;
        };
        self.after(DELAY, Event::Arrive { to: from, from: LIAR, message: answer });
    }
}

/// A membership in which the liar alone decides.
fn newer_membership(id: MembershipId, liar: NodeId) -> RefusalReason {
    RefusalReason::NewerMembership(LeaseMembership {
        id,
        voters: vec![[liar].into()],
        addresses: [(liar, listens_at(liar))].into(),
    })
}
