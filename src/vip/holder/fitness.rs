//! Which director is the fitter one: a holder that is not well seeks a candidate that is fitter, and hands over to it.

use super::{Holder, HolderEffect, HolderPhase, LeaseMessage, Successor};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId},
};

/// A candidate offers to take a group only if a majority of the voters has answered it within so many ttl: one that they do not hear could not take it.
const ANSWERED_WITHIN_TTLS: u32 = 2;

impl Holder {
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
        let longest = self.timing.ttl * ANSWERED_WITHIN_TTLS;
        let answered = self.answered_at.is_some_and(|at| now - at <= longest);
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

    /// When to ask, if it is this node's turn at `at`. Who is not well lets those go first that are, unless the former holder has named it.
    pub(super) fn turn(&self, at: BootInstant) -> BootInstant {
        if self.fitness < Fitness::WELL && !self.rank.is_named(at) { at + self.timing.renewal_interval() } else { at }
    }
}
