//! Which director is the fitter one: a holder that is not well seeks a candidate that is fitter, and hands over to it.

use super::{Holder, HolderEffect, HolderPhase, LeaseMessage, Successor};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId},
    vip::{LeaseMembership, majority_of_each, message::Life},
};
use std::collections::BTreeMap;

/// A candidate offers to take a group only if a majority of the voters has answered it within so many ttl: one that they do not hear could not take it.
const ANSWERED_WITHIN_TTLS: u32 = 2;

/// When each voter last answered an ask of this life, whatever it said. The answers count beyond the end of their round: of four voters, two that refuse have
/// it lost before a majority has answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    last: BTreeMap<NodeId, BootInstant>,
}

impl Answers {
    /// Forgets those that vote no more.
    pub fn membership_is(&mut self, membership: &LeaseMembership) {
        let voters = membership.all_voters();
        self.last.retain(|voter, _| voters.contains(voter));
    }

    fn answered(&mut self, by: NodeId, now: BootInstant) {
        self.last.insert(by, now);
    }

    /// Whether a majority of the voters has answered since then.
    pub fn are_of_a_majority(&self, membership: &LeaseMembership, since: BootInstant) -> bool {
        majority_of_each(&membership.voters, |voter| self.last.get(voter).is_some_and(|at| *at >= since))
    }
}

impl Holder {
    /// Any voter has answered.
    pub(super) fn answered(&mut self, by: NodeId, life: Life, now: BootInstant) {
        let votes = self.membership.at(now).is_some_and(|membership| membership.has_voter(by));
        if votes && life == self.life {
            self.answers.answered(by, now);
            self.note_answers(now);
        }
    }

    pub(super) fn fitness_is(&mut self, fitness: Fitness, effects: &mut Vec<HolderEffect>) {
        self.fitness = fitness;
        if matches!(self.phase, HolderPhase::Holding { .. }) {
            self.seek(effects);
        }
    }

    /// Asks the other candidates who is fitter. Nobody answers where all are as bad; then it goes on holding.
    pub(super) fn seek(&self, effects: &mut Vec<HolderEffect>) {
        if self.fitness < Fitness::WELL && self.fitness > Fitness::NONE {
            let message = LeaseMessage::Seek { group: self.group.clone(), fitness: self.fitness };
            effects.extend(self.rank.others().map(|to| HolderEffect::Send { to, message: message.clone() }));
        }
    }

    pub(super) fn sought(&self, by: NodeId, fitness: Fitness, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let since = now.saturating_sub(self.timing.ttl * ANSWERED_WITHIN_TTLS);
        let answered = self.membership.at(now).is_some_and(|membership| self.answers.are_of_a_majority(membership, since));
        let wants = matches!(self.phase, HolderPhase::Waiting { .. } | HolderPhase::Asking);
        if wants && answered && self.fitness > fitness && self.rank.may_ask(now) {
            let message = LeaseMessage::Offer { group: self.group.clone(), fitness: self.fitness };
            effects.push(HolderEffect::Send { to: by, message });
        }
    }

    pub(super) fn offered(&mut self, by: NodeId, fitness: Fitness, effects: &mut Vec<HolderEffect>) {
        if matches!(self.phase, HolderPhase::Holding { .. }) && fitness > self.fitness {
            self.remove("another director is fitter", Successor::First(by), effects);
        }
    }

    /// When to ask, if it is this node's turn at `at`. Who is not well lets those go first that are, unless the former holder has named it, or it is its own
    /// heir.
    pub(super) fn turn(&self, at: BootInstant) -> BootInstant {
        if self.fitness < Fitness::WELL && !self.inherits && !self.rank.is_named(at) {
            at + self.timing.renewal_interval()
        } else {
            at
        }
    }
}
