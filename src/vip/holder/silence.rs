//! Since when no majority of the voters answers a holder, and until when it only asks dry, because another director may hold the group by fallback.

use super::{Holder, HolderPhase};
use crate::{clock::BootInstant, model::Fitness};

/// See the file's first line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    /// When the first ask was sent that no majority has answered, nor any ask after it.
    since: Option<BootInstant>,
    /// A majority has answered an ask of this life.
    heard: bool,
    /// Until then it only asks what the answer would be.
    dry_until: BootInstant,
}

impl Silence {
    pub fn asked(&mut self, now: BootInstant) {
        self.since.get_or_insert(now);
    }

    /// Nothing is asked, so nothing is answered.
    pub fn rests(&mut self) {
        self.since = None;
    }

    pub fn is_dry(&self, now: BootInstant) -> bool {
        now < self.dry_until
    }
}

impl Holder {
    /// Since when asks are without answers of a majority of the voters; `None`: the last ones were answered, or none was sent.
    pub fn unanswered_since(&self) -> Option<BootInstant> {
        self.silence.since
    }

    /// Whether a majority of the voters has ever answered.
    pub fn has_been_answered(&self) -> bool {
        self.silence.heard
    }

    /// How fit this node is to hold the group without a lease, too; `None`: nothing of it may be held here.
    pub fn may_hold(&self, now: BootInstant) -> Option<Fitness> {
        (self.unwanted(now).is_none() && self.rank.may_ask(now)).then_some(self.fitness)
    }

    /// Until then it asks dry: whoever holds the group by fallback is to have the lease first.
    pub fn ask_dry_until(&mut self, until: BootInstant) {
        self.silence.dry_until = until;
    }

    /// A voter has answered; perhaps it was the one that makes a majority.
    pub(super) fn note_answers(&mut self, now: BootInstant) {
        let Some(since) = self.silence.since else { return };
        if self.membership.at(now).is_some_and(|membership| self.answers.are_of_a_majority(membership, since)) {
            (self.silence.since, self.silence.heard) = (None, true);
        }
    }

    /// A majority would grant, and it is not to ask for it yet.
    pub(super) fn wait_for_the_present_holder(&mut self, now: BootInstant) {
        let retry_at = self.silence.dry_until.min(now + self.timing.renewal_interval());
        self.phase = HolderPhase::Waiting { retry_at };
    }
}
