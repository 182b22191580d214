//! Whose Raft is heard, and whose word counts on who votes where this node's own log does not say it. Pure.

use crate::{
    clock::BootInstant,
    link::certificate::{Certificate, Subject},
    model::{NodeId, Role},
    peers::PeerStatus,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// So long a voter's or a director's word counts. By then a leader that was heard for it has brought the log, which says it itself.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// Of one answer no more voters are taken in. A cluster has five at the most, and twice as many while they change.
const MOST: usize = 16;

/// The sender of a Raft message, as this node knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sender {
    /// It is in one of the voter sets of the newest membership in this node's log.
    pub votes: bool,
    /// It leads this node in the very term that the message is of: one that gives its own vote away leads on until that is committed.
    pub leads_on: bool,
    /// Its certificate, and its record where there is one, say that it is a director. Directors hold the CA's key.
    pub directs: bool,
    /// A voter, a director, or to a newcomer most of the members have said of it lately that it votes.
    pub is_vouched_for: bool,
}

impl Sender {
    /// Whether its message is given to Raft. `leaderless`: this node has heard no leader for an election, and leads no majority itself.
    ///
    /// Raft's safety needs nothing of this, but it believes whatever it hears: one message of a later term makes its sender the leader. So those are
    /// heard who may vote or lead. A node whose log is behind does not know all of them, and could not be helped by one that it does not know; as
    /// long as it hears a leader it needs no other, and without one it takes the word of those who could have the cluster anyway, or, with no log yet, of most members.
    pub fn is_heard(self, leaderless: bool) -> bool {
        self.votes || self.leads_on || (leaderless && (self.directs || self.is_vouched_for))
    }
}

/// Whether the holder of this certificate, which stands here like that, is a director. Of nodes that are not known here the CA says it, whose
/// key directors have.
pub fn directs(status: &PeerStatus, certificate: &Certificate) -> bool {
    match status {
        PeerStatus::Member { director, .. } => *director,
        PeerStatus::Bootstrap | PeerStatus::Later => {
            matches!(&certificate.subject, Subject::Node { roles, .. } if roles.has(Role::Director))
        }
    }
}

/// Who votes in most of `answers`, counted over all that were `asked`: members that are no directors are believed when most of them agree, by a
/// node without a log: one that has lost its disk, and is the only director, has nobody else to ask.
pub fn said_by_most(answers: &[BTreeSet<NodeId>], asked: usize) -> BTreeSet<NodeId> {
    let named: BTreeSet<NodeId> = answers.iter().flatten().copied().collect();
    let is_said_by_most = |id: &NodeId| answers.iter().filter(|voters| voters.contains(id)).count() * 2 > asked;
    named.into_iter().filter(is_said_by_most).collect()
}

/// Who was said to vote, and when last.
#[derive(Debug, Default)]
pub struct Vouched(BTreeMap<NodeId, BootInstant>);

impl Vouched {
    /// These vote, say those whose word counts.
    pub fn note(&mut self, voters: &BTreeSet<NodeId>, now: BootInstant) {
        self.0.retain(|_, at| now.saturating_since(*at) < GOOD_FOR);
        for id in voters.iter().take(MOST) {
            self.0.insert(*id, now);
        }
    }

    /// Whether `id` was said to vote, lately.
    pub fn has(&self, id: NodeId, now: BootInstant) -> bool {
        self.0.get(&id).is_some_and(|at| now.saturating_since(*at) < GOOD_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_and_who_leads_on_are_heard_always_others_without_a_leader_and_not_by_their_own_word() {
        let nobody = Sender::default();
        let cases = [
            (nobody, false, false),
            (Sender { votes: true, ..nobody }, true, true),
            (Sender { leads_on: true, ..nobody }, true, true),
            (Sender { directs: true, ..nobody }, false, true),
            (Sender { is_vouched_for: true, ..nobody }, false, true),
        ];
        for (sender, with_leader, without) in cases {
            assert_eq!(sender.is_heard(false), with_leader, "{sender:?} where a leader is heard");
            assert_eq!(sender.is_heard(true), without, "{sender:?} where none is");
        }
    }

    #[test]
    fn of_members_that_are_no_directors_more_than_half_of_those_asked_must_say_it() {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        assert_eq!(said_by_most(&[ids(&[2, 3, 4]), ids(&[2, 3]), ids(&[9])], 3), ids(&[2, 3]));
        assert_eq!(said_by_most(&[ids(&[9])], 2), ids(&[]), "who is silent has not agreed");
        assert_eq!(said_by_most(&[ids(&[9]), ids(&[1, 9])], 4), ids(&[]), "half is not most");
        assert_eq!(said_by_most(&[], 0), ids(&[]));
    }

    #[test]
    fn a_word_counts_for_a_while_and_takes_bounded_room() {
        let at = |seconds| BootInstant::from_boot(Duration::from_secs(seconds));
        let ids = |ids: std::ops::Range<u64>| ids.map(NodeId).collect::<BTreeSet<_>>();
        let mut vouched = Vouched::default();
        vouched.note(&ids(1..4), at(100));
        assert!(vouched.has(NodeId(3), at(109)) && !vouched.has(NodeId(3), at(110)) && !vouched.has(NodeId(4), at(100)));
        vouched.note(&ids(1000..9000), at(120));
        assert_eq!(vouched.0.len(), MOST, "older ones are gone, of many a few are taken");
    }
}
