//! The voter: the state machine that grants leases. It has at most one promise for a group, and promises an address to one node only, and keeps that until it
//! has run out or is released.

use super::{
    lessons::LAST_ROUND,
    message::{LeaseMembership, LeaseMessage, RefusalReason},
    promised,
    rule_toggles::RuleToggles,
};
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
};
use ask::ReceivedAsk;
use promises::Promises;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

mod ask;
mod promises;

/// For so many of the longest ttl after a change of the rules, what nodes hold under the former ones goes on, so that nothing moves that need not.
const TRANSITION_TTLS: u32 = 8;

/// How long that is, for leases of `ttl` at most.
pub fn transition(ttl: Duration) -> Duration {
    promised(ttl) * TRANSITION_TTLS
}

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
    /// When the candidates last changed.
    rules_since: BootInstant,
    promises: Promises,
    clock_is_fast: bool,
    toggles: RuleToggles,
}

impl Voter {
    /// A voter that has just started. It grants nothing until every promise that it may have made before `started` has run out.
    pub fn new(me: NodeId, ttl_max: Duration, started: BootInstant) -> Self {
        Self::with_toggles(me, ttl_max, started, RuleToggles::ON)
    }

    /// For the simulation: a voter that may lack a rule.
    #[doc(hidden)]
    pub fn with_toggles(me: NodeId, ttl_max: Duration, started: BootInstant, toggles: RuleToggles) -> Self {
        Self {
            me,
            ttl_max,
            started,
            membership: None,
            candidates: None,
            rules_since: started,
            promises: Promises::default(),
            clock_is_fast: false,
            toggles,
        }
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

    /// Whether other voters' clocks show that this one's runs too fast: it grants nothing then, because its promises would end too early.
    pub fn set_clock_is_fast(&mut self, clock_is_fast: bool) {
        self.clock_is_fast = clock_is_fast;
    }

    /// The last promise for a group: the holder, and until when. It may have run out.
    pub fn promise(&self, group: &VipName) -> Option<(NodeId, BootInstant)> {
        self.promises.of(group)
    }

    /// The membership that the worker has told since the start.
    pub fn membership(&self) -> Option<&LeaseMembership> {
        self.membership.as_ref()
    }

    /// The node that this voter belongs to.
    pub fn me(&self) -> NodeId {
        self.me
    }

    fn candidates_are(&mut self, candidates: BTreeMap<VipName, Vec<NodeId>>, now: BootInstant) {
        self.promises.forget_all_but(&candidates, now);
        if self.candidates.as_ref() != Some(&candidates) {
            (self.candidates, self.rules_since) = (Some(candidates), now);
        }
    }

    fn heard(&mut self, from: NodeId, message: LeaseMessage, now: BootInstant) -> Vec<VoterEffect> {
        match message {
            LeaseMessage::Ask { group, round, life, membership, ttl, addresses, dry, epoch } => {
                let asked = ReceivedAsk { from, round, life, membership, ttl, addresses, dry, epoch };
                let answer = self.answer(group, asked, now);
                vec![VoterEffect::Send { to: from, message: answer }]
            }
            LeaseMessage::Release { group, round, life } => {
                self.promises.release(&group, from, (round, life), self.toggles, now);
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
        let epoch = self.promises.epoch(&group).unwrap_or(asked.epoch);
        match verdict {
            Ok(lacking) => LeaseMessage::Grant { group, round, life, lacking, epoch },
            Err(why) => LeaseMessage::Refuse { group, round, life, why, epoch },
        }
    }

    /// Promises, and returns which addresses not; or returns why not. Makes no record for a node that is no candidate, so that its asking does not make the
    /// state grow.
    fn decide(&mut self, group: &VipName, asked: &ReceivedAsk, now: BootInstant) -> Result<BTreeSet<IpAddr>, RefusalReason> {
        if let Some(remaining) = self.quiet(now) {
            return Err(RefusalReason::Quiet { remaining });
        }
        if self.clock_is_fast {
            return Err(RefusalReason::Quiet { remaining: self.ttl_max });
        }
        let (Some(own), Some(candidates)) = (&self.membership, &self.candidates) else {
            // It is not known when the worker will tell them. The candidates ask again in the meantime.
            return Err(RefusalReason::Quiet { remaining: self.ttl_max });
        };
        let in_transition = now < self.rules_since + transition(self.ttl_max);
        let is_candidate = candidates.get(group).is_some_and(|allowed| allowed.contains(&asked.from));
        let goes_on = || in_transition && self.promises.are_with(asked.from, group, now);
        if !is_candidate && !goes_on() {
            return Err(RefusalReason::NotCandidate);
        }
        if asked.round >= LAST_ROUND {
            return Err(RefusalReason::OldRound { last: LAST_ROUND });
        }
        self.promises.see(group, asked, self.toggles.old_rounds)?;
        if asked.ttl > self.ttl_max {
            return Err(RefusalReason::TtlTooLong { max: self.ttl_max });
        }
        if asked.membership < own.id && self.toggles.refuse_older_membership {
            return Err(RefusalReason::NewerMembership(own.clone()));
        }
        self.promises.make(group, asked, in_transition, self.toggles, now)
    }

    /// For how long this voter grants nothing because it may have forgotten a promise; `None` when that time is over.
    fn quiet(&self, now: BootInstant) -> Option<Duration> {
        let over = self.started + self.toggles.promised(self.ttl_max);
        (now < over && self.toggles.quiet_after_restart).then(|| over - now)
    }
}

#[cfg(test)]
mod tests;
