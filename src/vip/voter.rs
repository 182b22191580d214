//! The voter: the state machine that grants leases. It has at most one promise for a group, and keeps it until it has run out or is released.

use super::{
    lessons::LAST_ROUND,
    message::{LeaseMembership, LeaseMessage, Life, MembershipId, RefusalReason, Round},
    rule_toggles::RuleToggles,
};
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
};
use std::{collections::BTreeMap, time::Duration};

/// What a voter is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoterEvent {
    /// The worker tells the effective membership of the log. It may go back when the log is truncated.
    Membership(LeaseMembership),
    /// The worker tells the candidates of each group.
    Candidates(BTreeMap<VipName, Vec<NodeId>>),
    /// A message of a guard has arrived.
    Heard {
        /// The node of that guard.
        from: NodeId,
        /// The message.
        message: LeaseMessage,
    },
}

/// What a voter wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VoterEffect {
    /// Send a datagram. `to` may be this node itself: the driver passes it to this node's holder.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: LeaseMessage,
    },
}

/// The voter of one node, for all groups. It needs no timer: what depends on time is computed when an ask arrives.
///
/// Its state is bounded by the rules: one record for each group that has candidates, with one round for each candidate. A group or candidate that
/// the rules no longer name is forgotten when its promise has run out.
#[derive(Clone, Debug)]
pub struct Voter {
    me: NodeId,
    ttl_max: Duration,
    started: BootInstant,
    membership: Option<LeaseMembership>,
    candidates: Option<BTreeMap<VipName, Vec<NodeId>>>,
    groups: BTreeMap<VipName, GroupRecord>,
    toggles: RuleToggles,
}

/// What a voter remembers of one group.
#[derive(Clone, Debug, Default)]
struct GroupRecord {
    promise: Option<Promise>,
    last_rounds: BTreeMap<NodeId, Round>,
    epoch: u64,
}

/// A grant: until then the voter grants the group to no other node.
#[derive(Clone, Copy, Debug)]
struct Promise {
    holder: NodeId,
    round: Round,
    life: Life,
    until: BootInstant,
    /// Until then a grant to another life of that holder may still count, so no `Release` of this life ends the promise sooner.
    other_lives_until: BootInstant,
}

/// The content of an [`LeaseMessage::Ask`], with its sender.
struct ReceivedAsk {
    from: NodeId,
    round: Round,
    life: Life,
    membership: MembershipId,
    ttl: Duration,
    dry: bool,
    epoch: u64,
}

impl Voter {
    /// A voter that has just started. It grants nothing until every promise that it may have made before `started` has run out.
    pub fn new(me: NodeId, ttl_max: Duration, started: BootInstant) -> Self {
        Self::with_toggles(me, ttl_max, started, RuleToggles::ON)
    }

    /// For the simulation: a voter that may lack a rule.
    #[doc(hidden)]
    pub fn with_toggles(me: NodeId, ttl_max: Duration, started: BootInstant, toggles: RuleToggles) -> Self {
        Self { me, ttl_max, started, membership: None, candidates: None, groups: BTreeMap::new(), toggles }
    }

    /// Takes one event and returns what to send. `now` never goes back.
    pub fn step(&mut self, event: VoterEvent, now: BootInstant) -> Vec<VoterEffect> {
        match event {
            VoterEvent::Membership(membership) => self.membership = Some(membership),
            VoterEvent::Candidates(candidates) => self.candidates_are(candidates, now),
            VoterEvent::Heard { from, message } => return self.heard(from, message, now),
        }
        Vec::new()
    }

    /// The last promise for a group: the holder, and until when. It may have run out.
    pub fn promise(&self, group: &VipName) -> Option<(NodeId, BootInstant)> {
        self.groups.get(group)?.promise.map(|promise| (promise.holder, promise.until))
    }

    /// The membership that the worker has told since the start.
    pub fn membership(&self) -> Option<&LeaseMembership> {
        self.membership.as_ref()
    }

    /// The node that this voter belongs to.
    pub fn me(&self) -> NodeId {
        self.me
    }

    /// Forgets what the rules no longer name, except promises that still run; the last round of their holder is in them.
    fn candidates_are(&mut self, candidates: BTreeMap<VipName, Vec<NodeId>>, now: BootInstant) {
        self.groups.retain(|group, record| {
            let allowed = candidates.get(group).map_or(&[][..], Vec::as_slice);
            record.last_rounds.retain(|node, _| allowed.contains(node));
            record.promise.take_if(|promise| promise.until <= now);
            record.promise.is_some() || !allowed.is_empty()
        });
        self.candidates = Some(candidates);
    }

    fn heard(&mut self, from: NodeId, message: LeaseMessage, now: BootInstant) -> Vec<VoterEffect> {
        match message {
            LeaseMessage::Ask { group, round, life, membership, ttl, dry, epoch } => {
                let answer = self.answer(group, ReceivedAsk { from, round, life, membership, ttl, dry, epoch }, now);
                vec![VoterEffect::Send { to: from, message: answer }]
            }
            LeaseMessage::Release { group, round, life } => {
                self.released(&group, from, (round, life), now);
                Vec::new()
            }
            // These are for the holder.
            LeaseMessage::Grant { .. }
            | LeaseMessage::Refuse { .. }
            | LeaseMessage::HandOver { .. }
            | LeaseMessage::Seek { .. }
            | LeaseMessage::Offer { .. }
            | LeaseMessage::Advert { .. } => Vec::new(),
        }
    }

    fn answer(&mut self, group: VipName, asked: ReceivedAsk, now: BootInstant) -> LeaseMessage {
        let (round, life) = (asked.round, asked.life);
        let verdict = self.decide(&group, &asked, now);
        let epoch = self.groups.get(&group).map_or(asked.epoch, |record| record.epoch);
        match verdict {
            Ok(()) => LeaseMessage::Grant { group, round, life, epoch },
            Err(why) => LeaseMessage::Refuse { group, round, life, why, epoch },
        }
    }

    /// Promises, or returns why not. Makes no record for a node that is no candidate, so that its asking does not make the state grow.
    fn decide(&mut self, group: &VipName, asked: &ReceivedAsk, now: BootInstant) -> Result<(), RefusalReason> {
        if let Some(remaining) = self.quiet(now) {
            return Err(RefusalReason::Quiet { remaining });
        }
        let (Some(own), Some(candidates)) = (&self.membership, &self.candidates) else {
            // It is not known when the worker will tell them. The candidates ask again in the meantime.
            return Err(RefusalReason::Quiet { remaining: self.ttl_max });
        };
        if !candidates.get(group).is_some_and(|allowed| allowed.contains(&asked.from)) {
            return Err(RefusalReason::NotCandidate);
        }
        if asked.round >= LAST_ROUND {
            return Err(RefusalReason::OldRound { last: LAST_ROUND });
        }
        let record = self.groups.entry(group.clone()).or_default();
        record.epoch = record.epoch.max(asked.epoch);
        record.see_round(asked, self.toggles.old_rounds)?;
        if asked.ttl > self.ttl_max {
            return Err(RefusalReason::TtlTooLong { max: self.ttl_max });
        }
        if asked.membership < own.id && self.toggles.refuse_older_membership {
            return Err(RefusalReason::NewerMembership(own.clone()));
        }
        record.promise_to(asked, self.toggles, now)
    }

    /// For how long this voter grants nothing because it may have forgotten a promise; `None` when that time is over.
    fn quiet(&self, now: BootInstant) -> Option<Duration> {
        let over = self.started + self.toggles.promised(self.ttl_max);
        (now < over && self.toggles.quiet_after_restart).then(|| over - now)
    }

    fn released(&mut self, group: &VipName, from: NodeId, (round, life): (Round, Life), now: BootInstant) {
        let Some(record) = self.groups.get_mut(group) else { return };
        let any_life = !self.toggles.own_life;
        record.promise.take_if(|promise| {
            let released = promise.holder == from && promise.round <= round && (promise.life == life || any_life);
            if released {
                promise.until = promise.other_lives_until;
            }
            released && (promise.until <= now || any_life)
        });
        // An ask of this round that arrives after the release must not be granted: no holder would use that promise.
        if let Some(last) = record.last_rounds.get_mut(&from) {
            *last = round.max(*last);
        }
    }
}

impl GroupRecord {
    fn see_round(&mut self, asked: &ReceivedAsk, enforced: bool) -> Result<(), RefusalReason> {
        let promised = self.promise.filter(|promise| promise.holder == asked.from).map(|promise| promise.round);
        let last = self.last_rounds.get(&asked.from).copied().max(promised);
        self.last_rounds.insert(asked.from, asked.round.max(last.unwrap_or(0)));
        match last {
            Some(last) if asked.round <= last && enforced => Err(RefusalReason::OldRound { last }),
            _ => Ok(()),
        }
    }

    fn promise_to(&mut self, asked: &ReceivedAsk, toggles: RuleToggles, now: BootInstant) -> Result<(), RefusalReason> {
        let mut until = now + toggles.promised(asked.ttl);
        let mut other_lives_until = BootInstant::default();
        if let Some(promise) = self.promise.filter(|promise| promise.until > now) {
            if promise.holder != asked.from {
                return Err(RefusalReason::Held { by: promise.holder, remaining: promise.until - now });
            }
            if toggles.max_of_until {
                until = until.max(promise.until);
            }
            other_lives_until = if promise.life == asked.life { promise.other_lives_until } else { promise.until };
        }
        if asked.dry {
            return Ok(());
        }
        self.promise = Some(Promise { holder: asked.from, round: asked.round, life: asked.life, until, other_lives_until });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
