//! What refusals teach a holder: that its membership is old, or its round. One voter's word is not enough, because a voter may lie.

use super::message::{LeaseMembership, Round};
use crate::model::NodeId;
use std::collections::BTreeMap;

/// Rounds end here. They are numbered by the Unix time in microseconds, and a holder that catches up adds little to that.
pub(super) const LAST_ROUND: Round = 1 << 60;
/// No clock gives a later round: it is of the year 2255. What only one voter says is believed up to here, so that one that lies cannot use the rounds up.
const LAST_OF_A_CLOCK: Round = 1 << 53;

/// The refusals of one round that teach something, by voter.
#[derive(Clone, Debug, Default)]
pub(super) struct Lessons {
    memberships: BTreeMap<NodeId, LeaseMembership>,
    rounds: BTreeMap<NodeId, Round>,
}

impl Lessons {
    /// A voter names a membership that is newer than the asker's.
    pub fn membership(&mut self, by: NodeId, membership: LeaseMembership) {
        self.memberships.insert(by, membership);
    }

    /// A voter names the last round that it has seen of the asker.
    pub fn round(&mut self, by: NodeId, last: Round) {
        if last < LAST_ROUND {
            self.rounds.insert(by, last);
        }
    }

    /// The newest membership that `voices` voters have named alike. Alike in its voters, too: with the id of a real entry and other voters, the holder would
    /// tell honest voters that it counts with an entry, and count without it.
    pub fn newer_membership(&self, voices: usize) -> Option<&LeaseMembership> {
        let named_alike = |membership: &&LeaseMembership| {
            let alike = |other: &&LeaseMembership| other.id == membership.id && other.voters == membership.voters;
            self.memberships.values().filter(alike).count() >= voices
        };
        self.memberships.values().filter(named_alike).max_by_key(|membership| membership.id)
    }

    /// The greatest round such that `voices` voters have named that one or a greater one.
    pub fn last_round(&self, voices: usize) -> Option<Round> {
        let mut named: Vec<Round> = self.rounds.values().copied().collect();
        named.sort_unstable_by_key(|round| std::cmp::Reverse(*round));
        named.get(voices.checked_sub(1)?).copied()
    }

    /// The greatest round that any voter has named and a clock can give.
    pub fn likely_round(&self) -> Option<Round> {
        self.rounds.values().copied().filter(|last| *last < LAST_OF_A_CLOCK).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vip::MembershipId;

    fn named(index: u64) -> LeaseMembership {
        LeaseMembership { id: MembershipId { term: 1, leader: NodeId(1), index }, ..LeaseMembership::default() }
    }

    #[test]
    fn one_voters_word_teaches_nothing_where_two_are_wanted() {
        let mut lessons = Lessons::default();
        lessons.membership(NodeId(1), named(u64::MAX));
        lessons.membership(NodeId(1), named(7));
        lessons.round(NodeId(1), 900);
        assert_eq!((lessons.newer_membership(2), lessons.last_round(2)), (None, None));
        assert_eq!((lessons.newer_membership(1), lessons.last_round(1)), (Some(&named(7)), Some(900)));
    }

    #[test]
    fn a_liar_makes_no_round_greater_than_an_honest_voter_does() {
        let mut lessons = Lessons::default();
        for (voter, last) in [(1, LAST_ROUND - 1), (2, 6), (3, 5)] {
            lessons.round(NodeId(voter), last);
        }
        assert_eq!(lessons.last_round(2), Some(6));
    }

    #[test]
    fn a_membership_is_what_two_voters_name_alike() {
        let mut lessons = Lessons::default();
        lessons.membership(NodeId(1), named(u64::MAX));
        lessons.membership(NodeId(2), named(6));
        lessons.membership(NodeId(3), LeaseMembership { voters: vec![[NodeId(3)].into()], ..named(6) });
        assert_eq!(lessons.newer_membership(2), None);
        lessons.membership(NodeId(4), named(6));
        assert_eq!(lessons.newer_membership(2), Some(&named(6)));
    }

    #[test]
    fn rounds_that_no_clock_gives_are_not_heard() {
        let mut lessons = Lessons::default();
        lessons.round(NodeId(1), u64::MAX);
        lessons.round(NodeId(2), LAST_ROUND);
        assert_eq!(lessons.last_round(1), None);
        lessons.round(NodeId(1), LAST_ROUND - 1);
        assert_eq!((lessons.last_round(1), lessons.likely_round()), (Some(LAST_ROUND - 1), None), "not from one voter");
        lessons.round(NodeId(2), 900);
        assert_eq!(lessons.likely_round(), Some(900));
    }
}
