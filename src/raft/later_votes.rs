//! Decides what a leader does with an answer of a later term from a node that does not vote. Pure.

use super::types::Vote;
use crate::clock::BootInstant;
use std::time::Duration;

/// Between two such answers that are believed.
const PAUSE: Duration = Duration::from_secs(600);
/// Terms that such an answer may be ahead. Terms are 64 bits: they last.
const AHEAD: u64 = 1 << 32;

/// When one was last believed.
#[derive(Debug, Default)]
pub struct LaterVotes(Option<BootInstant>);

impl LaterVotes {
    /// The part of `theirs` that the leader with the vote `ours` accepts; `None`: nothing.
    ///
    /// A leader that learns of a later term steps down, so a member that does not vote could keep the cluster without a leader, or pose as one. But
    /// a member that voted in a later term, for itself or for a candidate that never led, would accept nothing from a leader of an earlier term. For
    /// its sake one such answer in ten minutes counts, as the bare number of a term.
    pub fn believed(&mut self, theirs: &Vote, ours: &Vote, now: BootInstant) -> Option<Vote> {
        let (theirs, term) = (theirs.leader_id, ours.leader_id.term);
        let is_near = theirs.term > term && theirs.term - term <= AHEAD;
        if !is_near || self.0.is_some_and(|last| now.saturating_since(last) < PAUSE) {
            return None;
        }
        self.0 = Some(now);
        Some(Vote::new(theirs.term, theirs.node_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_counts_once_in_ten_minutes_and_makes_nobody_the_leader() {
        let at = |seconds| BootInstant::from_boot(Duration::from_secs(seconds));
        let (ours, mut votes) = (Vote::new_committed(5, 1), LaterVotes::default());
        assert_eq!(votes.believed(&Vote::new_committed(5, 1), &ours, at(1)), None, "it is ours");
        assert_eq!(votes.believed(&Vote::new(u64::MAX, 4), &ours, at(1)), None, "no term would be left");
        assert_eq!(votes.believed(&Vote::new_committed(1000, 4), &ours, at(2)), Some(Vote::new(1000, 4)), "uncommitted");
        assert_eq!(votes.believed(&Vote::new(2000, 4), &ours, at(601)), None);
        assert_eq!(votes.believed(&Vote::new(2000, 4), &ours, at(602)), Some(Vote::new(2000, 4)));
    }
}
