//! The holder: the state machine that asks for the lease of one group, counts the grants, holds the VIP, and removes it in time.

pub use super::holder_state::{HolderEffect, HolderEvent, HolderState, LeaseTiming};
use super::{
    candidate_rank::CandidateRank,
    message::{LeaseMessage, Life, RefusalReason, Round},
    rounds::{KnownMembership, Rounds},
    rule_toggles::RuleToggles,
    tally::{Asked, RoundResult},
};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId, VipName},
};
use std::{collections::BTreeSet, time::Duration};

mod addresses;
mod fitness;
mod messages;
mod silence;

/// After the kernel has refused the VIP, the holder does not ask for so many ttl.
const BACK_OFF_TTLS: u32 = 10;

/// The holder of one group on one node.
///
/// Its first effect is always [`HolderEffect::Remove`], and it sends nothing before that is confirmed: an earlier guard of this node may have left
/// the VIP behind, and this one's messages could release the promise that covered it.
#[derive(Clone, Debug)]
pub struct Holder {
    group: VipName,
    life: Life,
    timing: LeaseTiming,
    toggles: RuleToggles,
    membership: KnownMembership,
    rank: CandidateRank,
    ready: bool,
    fitness: Fitness,
    /// When the last round was asked, if it was lost for want of answers, as far as it seemed.
    silent_since: Option<BootInstant>,
    /// See [`Holder::is_elsewhere`].
    elsewhere: bool,
    /// See [`HolderEvent::Inherits`].
    inherits: bool,
    addresses: addresses::Addresses,
    /// A holder asks as soon as it may, because an address that it lacks may be free.
    asks_soon: bool,
    answers: fitness::Answers,
    silence: silence::Silence,
    retiring: bool,
    rounds: Rounds,
    epoch: u64,
    phase: HolderPhase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HolderPhase {
    /// The guard has just started, and the VIP is not removed yet.
    New,
    /// It does not want the group.
    Idle,
    /// It wants the group, and asks at that time.
    Waiting { retry_at: BootInstant },
    /// It has asked, and waits for the answers to the newest open round.
    Asking,
    /// It holds the group.
    Holding { until: BootInstant, epoch: u64 },
    /// The driver carries out [`HolderEffect::Remove`].
    Removing { successor: Successor },
    /// It has let go for good.
    Retired,
}

/// Who is told that the holder has let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Successor {
    /// Nobody: the lease has run out, or others hold already.
    Nobody,
    /// All other candidates.
    Any,
    /// All other candidates; this one is to ask first.
    First(NodeId),
}

impl Holder {
    /// A holder that has just started. `first_round` must be greater than any round of an earlier guard of this node: take the Unix time in
    /// microseconds. If that clock has gone back, voters refuse the round and name theirs, and the holder leaps beyond it. No other life of this node's
    /// holder may have had the number `life`.
    pub fn new(me: NodeId, group: VipName, timing: LeaseTiming, first_round: Round, life: Life) -> Self {
        Self::with_toggles(me, group, timing, first_round, life, RuleToggles::ON)
    }

    /// For the simulation: a holder that may lack a rule.
    #[doc(hidden)]
    pub fn with_toggles(
        me: NodeId,
        group: VipName,
        timing: LeaseTiming,
        first_round: Round,
        life: Life,
        toggles: RuleToggles,
    ) -> Self {
        Self {
            group,
            life,
            timing,
            toggles,
            membership: KnownMembership::default(),
            rank: CandidateRank::new(me),
            ready: false,
            fitness: Fitness::WELL,
            silent_since: None,
            elsewhere: false,
            inherits: false,
            addresses: addresses::Addresses::default(),
            asks_soon: false,
            answers: fitness::Answers::default(),
            silence: silence::Silence::default(),
            retiring: false,
            rounds: Rounds::new(first_round),
            epoch: 0,
            phase: if toggles.removal_at_start { HolderPhase::New } else { HolderPhase::Idle },
        }
    }

    /// For the simulation: asks with another ttl from now on.
    #[doc(hidden)]
    pub fn set_timing(&mut self, timing: LeaseTiming) {
        self.timing = timing;
    }

    /// How long before the end of its lease it lets go: what the removal may take.
    pub fn keep_free(&mut self, reserve: Duration) {
        self.timing.removal = reserve;
    }

    /// Takes one event and returns what to do, in order. `now` never goes back.
    pub fn step(&mut self, event: HolderEvent, now: BootInstant) -> Vec<HolderEffect> {
        let mut effects = Vec::new();
        self.remove_in_time(now, &mut effects);
        self.take(event, now, &mut effects);
        self.pursue(now, &mut effects);
        effects
    }

    /// When [`HolderEvent::Tick`] is due. `None`: not before another event.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            HolderPhase::New => Some(BootInstant::default()),
            HolderPhase::Waiting { retry_at } => Some(retry_at),
            HolderPhase::Asking => Some(self.round_ends()),
            HolderPhase::Holding { until, .. } => Some(self.next_ask().min(until.saturating_sub(self.timing.removal))),
            HolderPhase::Idle | HolderPhase::Removing { .. } | HolderPhase::Retired => None,
        }
    }

    /// The present state.
    pub fn state(&self) -> HolderState {
        match self.phase {
            HolderPhase::Idle => HolderState::Idle,
            HolderPhase::Waiting { .. } | HolderPhase::Asking => HolderState::Asking,
            HolderPhase::Holding { until, epoch } => HolderState::Holding { until, epoch },
            HolderPhase::New | HolderPhase::Removing { .. } => HolderState::Removing,
            HolderPhase::Retired => HolderState::Retired,
        }
    }

    /// Removes the VIP if the lease is over, or nearly. It comes before the event itself.
    fn remove_in_time(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            HolderPhase::New => self.remove("guard started", Successor::Nobody, effects),
            HolderPhase::Holding { until, .. } if now >= until.saturating_sub(self.timing.removal) => {
                self.silent_since = Some(self.rounds.asked_at());
                self.remove("lease ran out without a renewal", Successor::Nobody, effects);
            }
            HolderPhase::Holding { .. }
            | HolderPhase::Idle
            | HolderPhase::Waiting { .. }
            | HolderPhase::Asking
            | HolderPhase::Removing { .. }
            | HolderPhase::Retired => {}
        }
    }

    fn take(&mut self, event: HolderEvent, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        match event {
            HolderEvent::Membership(membership) => {
                self.answers.membership_is(&membership);
                self.membership.tell(membership);
            }
            HolderEvent::Candidates(candidates) => self.rank.candidates_are(candidates),
            HolderEvent::Addresses(wanted) => self.addresses_are(&wanted, now, effects),
            HolderEvent::Inherits(inherits) => self.inherits(inherits, now),
            HolderEvent::Ready(ready) => self.ready = ready,
            HolderEvent::Fitness(fitness) => self.fitness_is(fitness, effects),
            HolderEvent::Heard { from, message } => self.heard(from, message, now, effects),
            HolderEvent::InstallFailed => self.install_failed(now, effects),
            HolderEvent::Removed => self.removed(effects),
            HolderEvent::Retire => self.retiring = true,
            HolderEvent::Renew => self.renew_early(now, effects),
            HolderEvent::Installed | HolderEvent::Tick => {}
        }
    }

    /// Moves to the phase that follows from what the holder knows and from `now`.
    fn pursue(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if let Some(reason) = self.unwanted(now) {
            self.silence.rests();
            return self.give_up(reason, effects);
        }
        if self.phase == HolderPhase::Idle {
            let turn = if self.inherits { self.rank.turn_of_an_heir(now) } else { self.rank.turn(now, self.timing) };
            self.phase = HolderPhase::Waiting { retry_at: self.turn(turn) };
        }
        match self.phase {
            HolderPhase::Waiting { retry_at } if now >= retry_at => self.ask(now, effects),
            HolderPhase::Asking if now >= self.round_ends() => self.round_lost(now, effects),
            HolderPhase::Holding { .. } if now >= self.next_ask() => self.renew(now, effects),
            HolderPhase::New
            | HolderPhase::Idle
            | HolderPhase::Waiting { .. }
            | HolderPhase::Asking
            | HolderPhase::Holding { .. }
            | HolderPhase::Removing { .. }
            | HolderPhase::Retired => {}
        }
    }

    fn unwanted(&self, now: BootInstant) -> Option<&'static str> {
        if self.retiring {
            Some("retiring")
        } else if self.addresses.is_empty() {
            Some("another group has its addresses")
        } else if !self.rank.has_me() {
            Some("no candidate any more")
        } else if !self.ready {
            Some("rules are not in the kernel")
        } else if self.fitness == Fitness::NONE {
            Some("not fit to hold it")
        } else {
            self.membership.at(now).is_none().then_some("membership is not known")
        }
    }

    fn give_up(&mut self, reason: &'static str, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            HolderPhase::Holding { .. } => self.remove(reason, Successor::Any, effects),
            HolderPhase::Asking => {
                self.release(false, effects);
                self.phase = self.at_rest();
            }
            HolderPhase::Idle | HolderPhase::Waiting { .. } => self.phase = self.at_rest(),
            HolderPhase::New | HolderPhase::Removing { .. } | HolderPhase::Retired => {}
        }
    }

    fn at_rest(&self) -> HolderPhase {
        if self.retiring { HolderPhase::Retired } else { HolderPhase::Idle }
    }

    /// Asks every voter. `now` was read before the first ask is sent. Whom no majority has answered only questions: it would take promises of the voters that
    /// it hears, and keep the group from who hears a majority.
    fn ask(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let Some(membership) = self.membership.at(now) else { return };
        self.asks_soon = false;
        let silent = self.silent_since.take().is_some_and(|since| !self.answers.are_of_a_majority(membership, since));
        let dry = (silent || self.silence.is_dry(now)) && !matches!(self.phase, HolderPhase::Holding { .. });
        self.silence.asked(now);
        let asked = Asked { ttl: self.timing.ttl, dry, addresses: self.addresses.wanted() };
        let tally = self.rounds.ask(asked, membership, now);
        let (round, ttl, epoch, membership) = (tally.round, tally.ttl, self.epoch, membership.id);
        for to in tally.voters().collect::<BTreeSet<_>>() {
            let (group, life, addresses) = (self.group.clone(), self.life, tally.addresses.clone());
            let message = LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry, epoch };
            effects.push(HolderEffect::Send { to, message });
        }
        if !matches!(self.phase, HolderPhase::Holding { .. }) {
            self.phase = HolderPhase::Asking;
        }
    }

    fn renew(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        self.release_failed_renewal(effects);
        self.ask(now, effects);
        self.seek(effects);
    }

    fn renew_early(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let has_just_asked = now < self.rounds.asked_at() + self.timing.renewal_interval() / 4;
        if matches!(self.phase, HolderPhase::Holding { .. }) && !has_just_asked {
            self.renew(now, effects);
        }
    }

    fn next_ask(&self) -> BootInstant {
        let pause = if self.asks_soon { self.timing.shortest_pause() } else { self.timing.renewal_interval() };
        self.rounds.asked_at() + pause
    }

    /// When to give the newest round up, if it is still pending: when a majority can be free without the voters that have not answered, and at the
    /// latest after the time between two renewals.
    fn round_ends(&self) -> BootInstant {
        let asked_at = self.rounds.asked_at();
        let without_the_silent = self.rounds.newest().and_then(|tally| tally.free_at(asked_at, |_| None));
        without_the_silent.map_or(self.next_ask(), |at| at.max(asked_at + self.timing.step / 2).min(self.next_ask()))
    }

    fn install_failed(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if matches!(self.phase, HolderPhase::Holding { .. }) {
            self.rank.back_off(now + self.timing.ttl * BACK_OFF_TTLS);
            self.remove("kernel would not take the VIP", Successor::Any, effects);
        }
    }

    fn remove(&mut self, why: &'static str, successor: Successor, effects: &mut Vec<HolderEffect>) {
        self.asks_soon = false;
        effects.push(HolderEffect::Remove { why });
        self.phase = HolderPhase::Removing { successor };
        if !self.toggles.removal_before_release {
            self.let_go(successor, effects);
        }
    }

    fn removed(&mut self, effects: &mut Vec<HolderEffect>) {
        if let HolderPhase::Removing { successor } = self.phase {
            self.phase = HolderPhase::Idle;
            if self.toggles.removal_before_release {
                self.let_go(successor, effects);
            }
        }
    }

    /// Releases the lease and hands over. Call it only when the VIP is off the interface.
    fn let_go(&mut self, successor: Successor, effects: &mut Vec<HolderEffect>) {
        self.release(true, effects);
        let first = match successor {
            Successor::Nobody => return,
            Successor::Any => None,
            Successor::First(node) => Some(node),
        };
        for to in self.rank.others() {
            effects.push(HolderEffect::Send { to, message: LeaseMessage::HandOver { group: self.group.clone(), first } });
        }
    }

    /// Declares every round so far dead and sends `Release`: to all voters of the open rounds, or to those that may have made a promise.
    fn release(&mut self, to_all: bool, effects: &mut Vec<HolderEffect>) {
        let voters = if to_all { self.rounds.voters() } else { self.rounds.possible_promisers() };
        for to in voters {
            let message = LeaseMessage::Release { group: self.group.clone(), round: self.rounds.last(), life: self.life };
            effects.push(HolderEffect::Send { to, message });
        }
        if self.toggles.dead_rounds {
            self.rounds.declare_dead();
        }
    }

    /// Does what holder rule 5 of docs/lease.md forbids. Only the simulation lets it.
    fn release_failed_renewal(&mut self, effects: &mut Vec<HolderEffect>) {
        let failed = self.rounds.newest().is_some_and(|tally| self.outcome(tally) != RoundResult::Won);
        if failed && !self.toggles.no_release_while_holding {
            self.release(true, effects);
        }
    }
}

#[cfg(test)]
mod tests;
