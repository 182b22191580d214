//! Decides when this node may ask for a group: by its rank among the candidates, after a hand-over, and after a lost round.

use super::{LeaseTiming, tally::Tally};
use crate::{clock::BootInstant, model::NodeId};

/// The candidates of a group in their order, seen from one of them.
#[derive(Clone, Debug)]
pub(super) struct CandidateRank {
    me: NodeId,
    candidates: Vec<NodeId>,
    not_before: BootInstant,
    /// Until then, a promise to that node counts as released: it has handed over, and its `Release` may still be on its way to the voter.
    handed_over: Option<HandedOver>,
}

#[derive(Clone, Copy, Debug)]
struct HandedOver {
    from: NodeId,
    /// Who is to ask first.
    first: Option<NodeId>,
    /// How long that counts.
    until: BootInstant,
}

impl CandidateRank {
    /// No candidates yet.
    pub fn new(me: NodeId) -> Self {
        Self { me, candidates: Vec::new(), not_before: BootInstant::default(), handed_over: None }
    }

    /// Sets the candidates of the group, best first.
    pub fn candidates_are(&mut self, candidates: Vec<NodeId>) {
        self.candidates = candidates;
    }

    /// Whether this node is a candidate.
    pub fn has_me(&self) -> bool {
        self.candidates.contains(&self.me)
    }

    /// The other candidates, best first.
    pub fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.candidates.iter().copied().filter(|node| *node != self.me)
    }

    /// This node does not ask before `until`.
    pub fn back_off(&mut self, until: BootInstant) {
        self.not_before = until;
    }

    /// This node.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Whether `node` is another candidate.
    pub fn is_other(&self, node: NodeId) -> bool {
        self.others().any(|other| other == node)
    }

    /// Whether nothing keeps this node from asking at `at`.
    pub fn may_ask(&self, at: BootInstant) -> bool {
        at >= self.not_before
    }

    /// `from` has handed over, and has named who is to ask first.
    pub fn hands_over(&mut self, from: NodeId, first: Option<NodeId>, until: BootInstant) {
        self.handed_over = Some(HandedOver { from, first, until });
    }

    /// Whether the node that has handed over a short while before `at` has named this one.
    pub fn is_named(&self, at: BootInstant) -> bool {
        self.handed_over.is_some_and(|over| over.first == Some(self.me) && at < over.until)
    }

    /// Whether `node` has handed over a short while before `at`.
    pub fn has_handed_over(&self, node: NodeId, at: BootInstant) -> bool {
        self.handed_over.is_some_and(|over| over.from == node && at < over.until)
    }

    /// When this node may ask, if a majority is free at `at`: one step later for each better candidate that has not just handed over.
    pub fn turn(&self, at: BootInstant, timing: LeaseTiming) -> BootInstant {
        (at + timing.step.saturating_mul(self.waited_for(at))).max(self.not_before)
    }

    /// When this node may ask after a hand-over: two steps later for each better candidate, which may have to ask twice because its first ask can
    /// arrive before the `Release`. Whom the former holder has named goes first.
    pub fn turn_after_hand_over(&self, now: BootInstant, timing: LeaseTiming) -> BootInstant {
        let first = self.handed_over.and_then(|over| over.first);
        let waited_for = match first {
            Some(first) if first == self.me => 0,
            Some(first) => 1 + self.better().filter(|node| *node != first && !self.has_handed_over(*node, now)).count(),
            None => self.better().filter(|node| !self.has_handed_over(*node, now)).count(),
        };
        (now + timing.step.saturating_mul(2 * bounded(waited_for))).max(self.not_before)
    }

    /// When this node may ask for what it has already under another name.
    pub fn turn_of_an_heir(&self, now: BootInstant) -> BootInstant {
        now.max(self.not_before)
    }

    fn waited_for(&self, at: BootInstant) -> u32 {
        bounded(self.better().filter(|node| !self.has_handed_over(*node, at)).count())
    }

    /// When to ask again after a lost round.
    ///
    /// Normally at the time that the refusals name. Two candidates that each have a part of the votes release them as soon as they see it; then the
    /// better one asks again soon, and the other waits for as long as the refusals say. A voter that has not answered yet is expected to answer as
    /// the others do. A voter that has been silent for the whole round is probably dead, and no reason to ask soon while another candidate has
    /// promises.
    pub fn again(&self, lost: &Tally, now: BootInstant, timing: LeaseTiming) -> BootInstant {
        let split_is_over = now + timing.renewal_interval();
        let sooner = |by| (lost.has_grants() && self.outranks(by)).then_some(split_is_over);
        let timed_out = now >= lost.t0 + timing.renewal_interval();
        let if_silent_ones_matter = match (timed_out, lost.is_contested()) {
            (false, _) => lost.all_free_at(now, sooner),
            (true, true) => split_is_over,
            (true, false) => now,
        };
        let free_at = lost.free_at(now, sooner).unwrap_or(if_silent_ones_matter);
        self.turn(free_at.max(lost.t0 + timing.shortest_pause()), timing)
    }

    fn outranks(&self, node: NodeId) -> bool {
        !self.better().any(|better| better == node)
    }

    fn better(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.candidates.iter().copied().take_while(|node| *node != self.me)
    }
}

fn bounded(candidates: usize) -> u32 {
    u32::try_from(candidates.min(1000)).expect("at most 1000")
}
