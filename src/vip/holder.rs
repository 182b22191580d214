//! The holder side of the lease: asks, counts grants, holds, lets go in time.

pub use super::holder_state::{HolderEffect, HolderEvent, HolderState, LeaseTiming};
use super::{
    candidate_rank::CandidateRank,
    message::{LeaseMembership, LeaseMessage, RefusalReason, Round},
    rounds::{KnownMembership, Rounds},
    rule_toggles::RuleToggles,
    tally::{RoundResult, Tally, VoterRefusal},
};
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
};
use std::collections::BTreeSet;

/// A membership adopted from a refusal is forgotten after so many ttl, in case it never gets committed.
const ADOPTED_FOR_TTLS: u32 = 4;
/// After the kernel would not take the VIP, others have so many ttl to take it.
const BACK_OFF_TTLS: u32 = 10;

/// One group's holder side on one node.
///
/// Its first effect is always [`HolderEffect::Remove`], and it sends nothing before that is confirmed: an earlier guard of this node may have left
/// the VIP behind, and this one's messages could release the promise that covered it.
#[derive(Clone, Debug)]
pub struct Holder {
    group: VipName,
    timing: LeaseTiming,
    toggles: RuleToggles,
    membership: KnownMembership,
    rank: CandidateRank,
    ready: bool,
    retiring: bool,
    rounds: Rounds,
    epoch: u64,
    phase: HolderPhase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HolderPhase {
    /// Nothing done yet since the start of the guard.
    New,
    /// Does not want it.
    Idle,
    /// Wants it, and asks then.
    Waiting { retry_at: BootInstant },
    /// The newest open round decides.
    Asking,
    /// Has it.
    Holding { until: BootInstant, epoch: u64 },
    /// [`HolderEffect::Remove`] is with the driver.
    Removing { hand_over: bool },
    /// For good.
    Retired,
}

impl Holder {
    /// A holder side that has just started. `first_round` must be greater than any round of an earlier guard of this node: take the Unix time in
    /// microseconds. Should that have gone back, voters say so and the holder catches up.
    pub fn new(me: NodeId, group: VipName, timing: LeaseTiming, first_round: Round) -> Self {
        Self::with_toggles(me, group, timing, first_round, RuleToggles::ON)
    }

    /// For the simulation: a holder that may lack a rule.
    #[doc(hidden)]
    pub fn with_toggles(me: NodeId, group: VipName, timing: LeaseTiming, first_round: Round, toggles: RuleToggles) -> Self {
        Self {
            group,
            timing,
            toggles,
            membership: KnownMembership::default(),
            rank: CandidateRank::new(me),
            ready: false,
            retiring: false,
            rounds: Rounds::new(first_round),
            epoch: 0,
            phase: if toggles.removal_at_start { HolderPhase::New } else { HolderPhase::Idle },
        }
    }

    /// For the simulation: ask for another ttl from now on.
    #[doc(hidden)]
    pub fn set_timing(&mut self, timing: LeaseTiming) {
        self.timing = timing;
    }

    /// Takes one event; says what is to be done, in order. `now` never goes back.
    pub fn step(&mut self, event: HolderEvent, now: BootInstant) -> Vec<HolderEffect> {
        let mut effects = Vec::new();
        self.remove_in_time(now, &mut effects);
        self.take(event, now, &mut effects);
        self.pursue(now, &mut effects);
        effects
    }

    /// When [`HolderEvent::Tick`] is due. `None`: nothing happens unless something is heard.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            HolderPhase::New => Some(BootInstant::default()),
            HolderPhase::Waiting { retry_at } => Some(retry_at),
            HolderPhase::Asking => Some(self.round_ends()),
            HolderPhase::Holding { until, .. } => Some(self.next_ask().min(until.saturating_sub(self.timing.removal))),
            HolderPhase::Idle | HolderPhase::Removing { .. } | HolderPhase::Retired => None,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> HolderState {
        match self.phase {
            HolderPhase::Idle => HolderState::Idle,
            HolderPhase::Waiting { .. } | HolderPhase::Asking => HolderState::Asking,
            HolderPhase::Holding { until, epoch } => HolderState::Holding { until, epoch },
            HolderPhase::New | HolderPhase::Removing { .. } => HolderState::Removing,
            HolderPhase::Retired => HolderState::Retired,
        }
    }

    /// Before anything else, whatever woke us: a lease that is over, or nearly, is let go.
    fn remove_in_time(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            HolderPhase::New => self.remove("guard started", false, effects),
            HolderPhase::Holding { until, .. } if now >= until.saturating_sub(self.timing.removal) => {
                self.remove("lease ran out without a renewal", false, effects);
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
            HolderEvent::Membership(membership) => self.membership.tell(membership),
            HolderEvent::Candidates(candidates) => self.rank.candidates_are(candidates),
            HolderEvent::Ready(ready) => self.ready = ready,
            HolderEvent::Heard { from, message } => self.heard(from, message, now, effects),
            HolderEvent::InstallFailed => self.install_failed(now, effects),
            HolderEvent::Removed => self.removed(effects),
            HolderEvent::Retire => self.retiring = true,
            HolderEvent::Installed | HolderEvent::Tick => {}
        }
    }

    /// Brings the phase nearer to what is wanted, as far as `now` allows.
    fn pursue(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if let Some(reason) = self.unwanted(now) {
            return self.give_up(reason, effects);
        }
        if self.phase == HolderPhase::Idle {
            self.phase = HolderPhase::Waiting { retry_at: self.rank.turn(now, self.timing) };
        }
        match self.phase {
            HolderPhase::Waiting { retry_at } if now >= retry_at => self.ask(now, effects),
            HolderPhase::Asking if now >= self.round_ends() => self.round_lost(now, effects),
            HolderPhase::Holding { .. } if now >= self.next_ask() => {
                self.release_failed_renewal(effects);
                self.ask(now, effects);
            }
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
        } else if !self.rank.has_me() {
            Some("no candidate any more")
        } else if !self.ready {
            Some("rules are not in the kernel")
        } else {
            self.membership.at(now).is_none().then_some("membership is not known")
        }
    }

    fn give_up(&mut self, reason: &'static str, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            HolderPhase::Holding { .. } => self.remove(reason, true, effects),
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

    /// Asks every voter; `now` is taken before the first of them is sent anything.
    fn ask(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let Some(membership) = self.membership.at(now) else { return };
        let tally = self.rounds.ask(self.timing.ttl, membership, now);
        let (round, ttl, epoch, membership) = (tally.round, tally.ttl, self.epoch, membership.id);
        for to in tally.voters().collect::<BTreeSet<_>>() {
            let message = LeaseMessage::Ask { group: self.group.clone(), round, membership, ttl, epoch };
            effects.push(HolderEffect::Send { to, message });
        }
        if !matches!(self.phase, HolderPhase::Holding { .. }) {
            self.phase = HolderPhase::Asking;
        }
    }

    fn next_ask(&self) -> BootInstant {
        self.rounds.asked_at() + self.timing.rhythm()
    }

    /// When to give the newest round up, if it is still open: when a majority could be had without those who are silent, at the latest after
    /// the time between two renewals.
    fn round_ends(&self) -> BootInstant {
        let asked_at = self.rounds.asked_at();
        let without_the_silent = self.rounds.newest().and_then(|tally| tally.free_at(asked_at, |_| None));
        without_the_silent.map_or(self.next_ask(), |at| at.max(asked_at + self.timing.step / 2).min(self.next_ask()))
    }

    fn heard(&mut self, from: NodeId, message: LeaseMessage, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if *message.group() != self.group {
            return;
        }
        match message {
            LeaseMessage::Grant { round, epoch, .. } if self.is_answer(from, round) => {
                self.epoch = self.epoch.max(epoch);
                self.granted(from, round, now, effects);
            }
            LeaseMessage::Refuse { round, why, epoch, .. } if self.is_answer(from, round) => {
                self.epoch = self.epoch.max(epoch);
                self.refused(from, round, why, now, effects);
            }
            LeaseMessage::HandOver { .. } if self.rank.others().any(|other| other == from) => {
                self.handed_over(from, now, effects)
            }
            // Of a dead round, or from a member that was not asked: it must not teach a membership or a round, or it could speak for all voters.
            LeaseMessage::Grant { .. } | LeaseMessage::Refuse { .. } | LeaseMessage::HandOver { .. } => {}
            // The voter side's business.
            LeaseMessage::Ask { .. } | LeaseMessage::Release { .. } => {}
        }
    }

    fn is_answer(&self, from: NodeId, round: Round) -> bool {
        let was_asked = |tally: &Tally| tally.is_voter(from) || !self.toggles.only_the_asked;
        self.rounds.get(round).is_some_and(was_asked)
    }

    fn granted(&mut self, from: NodeId, round: Round, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let Some(tally) = self.rounds.find(round) else { return };
        tally.grant(from);
        if tally.outcome(self.toggles.both_majorities) != RoundResult::Won {
            return;
        }
        let counted_from = if self.toggles.count_from_t0 { tally.t0 } else { now };
        let until = counted_from + self.toggles.held(tally.ttl);
        if now < until.saturating_sub(self.timing.removal) {
            self.won(until, effects);
            self.rounds.forget_before(round);
        }
    }

    fn won(&mut self, until: BootInstant, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            HolderPhase::Holding { until: before, epoch } if until > before => {
                self.phase = HolderPhase::Holding { until, epoch };
                effects.push(HolderEffect::Install { until, fresh: false, epoch });
            }
            // `Waiting` has no open round that could be won, unless the simulation has switched dead rounds off.
            HolderPhase::Asking | HolderPhase::Waiting { .. } => {
                self.epoch = self.epoch.saturating_add(1);
                self.phase = HolderPhase::Holding { until, epoch: self.epoch };
                effects.push(HolderEffect::Install { until, fresh: true, epoch: self.epoch });
            }
            HolderPhase::New
            | HolderPhase::Idle
            | HolderPhase::Holding { .. }
            | HolderPhase::Removing { .. }
            | HolderPhase::Retired => {}
        }
    }

    fn refused(&mut self, from: NodeId, round: Round, why: RefusalReason, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let may_have_granted = matches!(why, RefusalReason::OldRound { .. });
        let held_by = if let RefusalReason::Held { by, .. } = &why { Some(*by) } else { None };
        let (free_at, learned) = match why {
            RefusalReason::Held { by, remaining } if self.rank.has_handed_over(by, now) => {
                (now + remaining.min(self.timing.shortest_pause()), false)
            }
            RefusalReason::Held { remaining, .. } | RefusalReason::Quiet { remaining } => (now + remaining, false),
            RefusalReason::NotCandidate | RefusalReason::TtlTooLong { .. } => (now + self.timing.ttl, false),
            RefusalReason::NewerMembership(membership) => (now, self.adopt(membership, now)),
            RefusalReason::OldRound { last } => (now, self.rounds.catch_up(last)),
        };
        let Some(tally) = self.rounds.find(round) else { return };
        tally.refuse(from, VoterRefusal { free_at, held_by, may_have_granted });
        let lost = tally.outcome(self.toggles.both_majorities) == RoundResult::Lost;
        match self.phase {
            HolderPhase::Asking if learned => {
                self.release(false, effects);
                self.phase = HolderPhase::Waiting { retry_at: now };
            }
            HolderPhase::Asking if lost => self.round_lost(now, effects),
            HolderPhase::Holding { .. } if learned => self.ask(now, effects),
            HolderPhase::New
            | HolderPhase::Idle
            | HolderPhase::Waiting { .. }
            | HolderPhase::Asking
            | HolderPhase::Holding { .. }
            | HolderPhase::Removing { .. }
            | HolderPhase::Retired => {}
        }
    }

    fn adopt(&mut self, membership: LeaseMembership, now: BootInstant) -> bool {
        self.membership.adopt(membership, now, now + self.timing.ttl * ADOPTED_FOR_TTLS)
    }

    /// The newest round comes to nothing: voids it, and asks again when a majority can be free.
    fn round_lost(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let again = self.rounds.newest().map_or(now, |tally| self.rank.again(tally, now, self.timing));
        self.release(false, effects);
        self.phase = HolderPhase::Waiting { retry_at: again };
    }

    fn handed_over(&mut self, from: NodeId, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        self.rank.hands_over(from, now + self.timing.rhythm());
        if self.phase == HolderPhase::Asking {
            self.release(false, effects);
        }
        if matches!(self.phase, HolderPhase::Asking | HolderPhase::Waiting { .. }) {
            self.phase = HolderPhase::Waiting { retry_at: self.rank.turn_after_hand_over(now, self.timing) };
        }
    }

    fn install_failed(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if matches!(self.phase, HolderPhase::Holding { .. }) {
            self.rank.back_off(now + self.timing.ttl * BACK_OFF_TTLS);
            self.remove("kernel would not take the VIP", true, effects);
        }
    }

    fn remove(&mut self, why: &'static str, hand_over: bool, effects: &mut Vec<HolderEffect>) {
        effects.push(HolderEffect::Remove { why });
        self.phase = HolderPhase::Removing { hand_over };
        if !self.toggles.removal_before_release {
            self.let_go(hand_over, effects);
        }
    }

    fn removed(&mut self, effects: &mut Vec<HolderEffect>) {
        if let HolderPhase::Removing { hand_over } = self.phase {
            self.phase = HolderPhase::Idle;
            if self.toggles.removal_before_release {
                self.let_go(hand_over, effects);
            }
        }
    }

    /// Only to be called when the VIP is off the interface.
    fn let_go(&mut self, hand_over: bool, effects: &mut Vec<HolderEffect>) {
        self.release(true, effects);
        for to in self.rank.others().filter(|_| hand_over) {
            effects.push(HolderEffect::Send { to, message: LeaseMessage::HandOver { group: self.group.clone() } });
        }
    }

    /// Voids every round asked so far, here and at the voters: at all of them, or at those that may have promised something.
    fn release(&mut self, to_all: bool, effects: &mut Vec<HolderEffect>) {
        let voters = if to_all { self.rounds.voters() } else { self.rounds.possible_promisers() };
        for to in voters {
            let message = LeaseMessage::Release { group: self.group.clone(), round: self.rounds.last() };
            effects.push(HolderEffect::Send { to, message });
        }
        if self.toggles.dead_rounds {
            self.rounds.bury();
        }
    }

    /// What holder rule 5 of docs/lease.md forbids; only the simulation does it.
    fn release_failed_renewal(&mut self, effects: &mut Vec<HolderEffect>) {
        let failed = self.rounds.newest().is_some_and(|tally| tally.outcome(self.toggles.both_majorities) != RoundResult::Won);
        if failed && !self.toggles.no_release_while_holding {
            self.release(true, effects);
        }
    }
}

#[cfg(test)]
mod tests;
