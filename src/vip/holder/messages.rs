//! What the holder makes of messages: answers to its asks, and hand-overs of other candidates.

use super::{Holder, HolderEffect, HolderPhase, LeaseMessage, Life, RefusalReason, Round, Successor};
use crate::{
    clock::BootInstant,
    model::NodeId,
    vip::{
        promised,
        tally::{RoundResult, Tally, VoterRefusal},
    },
};
use std::{collections::BTreeSet, net::IpAddr};

/// A membership adopted from a refusal is forgotten after so many ttl, in case it never gets committed.
const ADOPTED_FOR_TTLS: u32 = 4;

impl Holder {
    pub(super) fn heard(&mut self, from: NodeId, message: LeaseMessage, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        if *message.group() != self.group {
            return;
        }
        if let LeaseMessage::Grant { life, .. } | LeaseMessage::Refuse { life, .. } = &message {
            self.answered(from, *life, now);
        }
        match message {
            LeaseMessage::Grant { round, life, lacking, epoch, .. } if self.is_answer(from, round, life) => {
                self.epoch = self.epoch.max(epoch);
                self.granted(from, (round, lacking), now, effects);
            }
            LeaseMessage::Refuse { round, life, why, epoch, .. } if self.is_answer(from, round, life) => {
                self.epoch = self.epoch.max(epoch);
                self.refused(from, round, why, now, effects);
            }
            LeaseMessage::HandOver { first, .. } if self.rank.is_other(from) => self.handed_over(from, first, now, effects),
            LeaseMessage::Seek { fitness, .. } if self.rank.is_other(from) => self.sought(from, fitness, now, effects),
            LeaseMessage::Offer { fitness, .. } if self.rank.is_other(from) => self.offered(from, fitness, effects),
            // The answer is of a dead round, or of a member that was not asked. Such an answer must not change the membership or the round: a member
            // that does not vote could forge it.
            LeaseMessage::Grant { .. } | LeaseMessage::Refuse { .. } => {}
            // It comes from no candidate.
            LeaseMessage::HandOver { .. } | LeaseMessage::Seek { .. } | LeaseMessage::Offer { .. } => {}
            // It is for the fallback.
            LeaseMessage::Advert { .. } => {}
            // These are for the voter.
            LeaseMessage::Ask { .. } | LeaseMessage::Release { .. } => {}
        }
    }

    fn is_answer(&self, from: NodeId, round: Round, life: Life) -> bool {
        let was_asked = |tally: &Tally| tally.is_voter(from) || !self.toggles.only_the_asked;
        (life == self.life || !self.toggles.own_life) && self.rounds.get(round).is_some_and(was_asked)
    }

    fn granted(
        &mut self,
        from: NodeId,
        (round, lacking): (Round, BTreeSet<IpAddr>),
        now: BootInstant,
        effects: &mut Vec<HolderEffect>,
    ) {
        let Some(tally) = self.rounds.find(round) else { return };
        tally.grant(from, lacking);
        let Some(tally) = self.rounds.get(round) else { return };
        if self.outcome(tally) != RoundResult::Won {
            return;
        }
        let counted_from = if self.toggles.count_from_t0 { tally.t0 } else { now };
        let until = counted_from + self.toggles.held(tally.ttl);
        let is_won_already = matches!(self.phase, HolderPhase::Holding { until: before, .. } if before == until);
        if is_won_already && self.addresses.are_all_leased() {
            return;
        }
        let addresses = self.addresses.counting(tally.won_addresses(self.toggles.both_majorities), round);
        if addresses.is_empty() {
            // Nobody needs a lease of nothing.
            return;
        }
        if tally.dry {
            return self.would_win(round, now, effects);
        }
        if now < until.saturating_sub(self.timing.removal) {
            self.won(until, addresses, effects);
            self.rounds.forget_before(round);
        }
    }

    /// What a holder has needs a majority in each round that it wins; what else its group has may come.
    pub(super) fn outcome(&self, tally: &Tally) -> RoundResult {
        let nothing = BTreeSet::new();
        let needed = if matches!(self.phase, HolderPhase::Holding { .. }) { self.addresses.leased() } else { &nothing };
        tally.outcome(needed, self.toggles.both_majorities)
    }

    fn won(&mut self, until: BootInstant, addresses: BTreeSet<IpAddr>, effects: &mut Vec<HolderEffect>) {
        match self.phase {
            // The same round may come to be won with more addresses.
            HolderPhase::Holding { until: before, epoch }
                if until > before || (until == before && !addresses.is_subset(self.addresses.leased())) =>
            {
                self.addresses.lease(addresses);
                self.phase = HolderPhase::Holding { until, epoch };
                effects.push(HolderEffect::Install { until, fresh: false, epoch });
            }
            // `Waiting` has no open round that could be won, unless the simulation has turned the rule of dead rounds off.
            HolderPhase::Asking | HolderPhase::Waiting { .. } => {
                self.epoch = self.epoch.saturating_add(1);
                self.addresses.lease(addresses);
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
        let Some(tally) = self.rounds.find(round) else { return };
        // No promise lasts longer, whatever the voter says.
        let longest = promised(self.timing.ttl);
        let free_at = match why {
            RefusalReason::Held { by, remaining } if self.rank.has_handed_over(by, now) => {
                now + remaining.min(self.timing.shortest_pause())
            }
            RefusalReason::Held { remaining, .. } | RefusalReason::Quiet { remaining } => now + remaining.min(longest),
            RefusalReason::NotCandidate | RefusalReason::TtlTooLong { .. } => now + self.timing.ttl,
            RefusalReason::NewerMembership(membership) => {
                tally.lessons.membership(from, membership);
                now
            }
            RefusalReason::OldRound { last } => {
                tally.lessons.round(from, last);
                now
            }
        };
        tally.refuse(from, VoterRefusal { free_at, held_by, may_have_granted });
        let another_holds = tally.is_promised_to_another(self.rank.me());
        let lost = self.rounds.get(round).is_some_and(|tally| self.outcome(tally) == RoundResult::Lost);
        let learned = self.learn(round, now);
        match self.phase {
            HolderPhase::Asking if learned => {
                self.release(false, effects);
                self.phase = HolderPhase::Waiting { retry_at: now };
            }
            HolderPhase::Asking if lost => self.round_lost(now, effects),
            // Its lease must be over, though its clock does not say so: the machine may have been frozen, and its clock with it.
            HolderPhase::Holding { .. } if another_holds => {
                self.remove("a majority of the voters has promised it to another node", Successor::Nobody, effects);
            }
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

    /// A majority would grant what was only a question.
    fn would_win(&mut self, round: Round, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let is_newest = self.rounds.newest().is_some_and(|tally| tally.round == round);
        if self.phase == HolderPhase::Asking && is_newest {
            self.silent_since = None;
            if self.silence.is_dry(now) {
                return self.wait_for_the_present_holder(now);
            }
            self.ask(now, effects);
        }
    }

    /// Takes up what enough voters of the round have said. Returns whether that was news.
    fn learn(&mut self, round: Round, now: BootInstant) -> bool {
        let Some(tally) = self.rounds.get(round) else { return false };
        let voices = if self.toggles.two_voices { tally.voices_that_teach() } else { 1 };
        let (newer, last) = (tally.lessons.newer_membership(voices).cloned(), tally.lessons.last_round(voices));
        let lapses = now + self.timing.ttl * ADOPTED_FOR_TTLS;
        let adopted = newer.is_some_and(|newer| self.membership.adopt(newer, now, lapses, self.toggles.told_and_adopted));
        let caught_up = last.is_some_and(|last| self.rounds.catch_up(last));
        adopted || caught_up
    }

    /// Releases the newest round, which was lost, and asks again when a majority can be free.
    pub(super) fn round_lost(&mut self, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let again = self.rounds.newest().map_or(now, |tally| self.rank.again(tally, now, self.timing));
        self.silent_since = self.rounds.newest().map(|tally| tally.t0);
        self.elsewhere = self.rounds.newest().is_some_and(|tally| tally.is_promised_to_another(self.rank.me()));
        if let Some(last) = self.rounds.newest().and_then(|tally| tally.lessons.likely_round()) {
            self.rounds.catch_up(last);
        }
        self.release(false, effects);
        self.phase = HolderPhase::Waiting { retry_at: self.turn(again) };
    }

    fn handed_over(&mut self, from: NodeId, first: Option<NodeId>, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        self.rank.hands_over(from, first, now + self.timing.renewal_interval());
        if matches!(self.phase, HolderPhase::Holding { .. }) {
            return self.ask_for_what_is_missing();
        }
        if self.phase == HolderPhase::Asking {
            self.release(false, effects);
        }
        if matches!(self.phase, HolderPhase::Asking | HolderPhase::Waiting { .. }) {
            self.phase = HolderPhase::Waiting { retry_at: self.turn(self.rank.turn_after_hand_over(now, self.timing)) };
        }
    }
}
