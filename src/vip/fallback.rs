//! What a director does with a VIP group while no majority of the voters answers it: the directors that hear each other elect a holder as VRRP routers do
//! (RFC 9568), and none takes the VIP before it has looked whether somebody has it (RFC 5227). Pure.

use super::{LeaseTiming, message::Standing};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId},
};

mod deference;
mod events;
mod times;

use deference::Deference;
pub use events::{ArpSeen, Circumstances, FallbackEffect, FallbackEvent, LeaseSide};
use times::{PROBES, Times};

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A majority answers, or this node may not hold the group.
    Off,
    /// None does. It looks for the VIP at that time, if it does not hear of a holder before.
    Standby { next: BootInstant },
    /// It looks whether anybody has the VIP.
    Probing { sent: u32, next: BootInstant },
    /// It has the VIP.
    Holding { until: BootInstant, renew_at: BootInstant },
    /// It takes it off.
    Removing { of_own_accord: bool },
}

/// The fallback of one group on one node.
#[derive(Clone, Debug)]
pub struct Fallback {
    me: NodeId,
    times: Times,
    candidates: Vec<NodeId>,
    circumstances: Circumstances,
    phase: Phase,
    /// It does not look for the VIP before.
    not_before: BootInstant,
    /// When it last heard another fallback holder.
    heard: Option<BootInstant>,
    /// Since when a majority answers a fallback holder.
    answered_since: Option<BootInstant>,
    deference: Deference,
}

impl Fallback {
    /// One that has just begun.
    pub fn new(me: NodeId, timing: LeaseTiming) -> Self {
        let circumstances = Circumstances { may: None, lease: LeaseSide::Busy, unanswered_since: None, was_answered: false };
        Self {
            me,
            times: Times::of(timing),
            candidates: Vec::new(),
            circumstances,
            phase: Phase::Off,
            not_before: BootInstant::default(),
            heard: None,
            answered_since: None,
            deference: Deference::default(),
        }
    }

    /// The candidates of the group, best first.
    pub fn candidates_are(&mut self, candidates: Vec<NodeId>) {
        self.candidates = candidates;
    }

    /// Takes one event and returns what to do, in order. `now` never goes back.
    pub fn step(&mut self, event: FallbackEvent, circumstances: Circumstances, now: BootInstant) -> Vec<FallbackEffect> {
        let mut effects = Vec::new();
        let before = std::mem::replace(&mut self.circumstances, circumstances);
        if circumstances.lease == LeaseSide::Holds {
            self.holds_a_lease(before.lease, &mut effects);
        }
        self.remove_in_time(now, &mut effects);
        self.take(event, now, &mut effects);
        self.pursue(now, &mut effects);
        effects
    }

    /// When [`FallbackEvent::Look`] is due.
    pub fn deadline(&self) -> Option<BootInstant> {
        match self.phase {
            Phase::Off => self.begins_at(),
            Phase::Standby { next } | Phase::Probing { next, .. } => Some(next),
            Phase::Holding { until, renew_at } => Some(renew_at.min(until.saturating_sub(self.times.removal))),
            Phase::Removing { .. } => None,
        }
    }

    /// Until when this node has the VIP by fallback; `None`: it has not.
    pub fn until(&self) -> Option<BootInstant> {
        match self.phase {
            Phase::Holding { until, .. } => Some(until),
            Phase::Off | Phase::Standby { .. } | Phase::Probing { .. } | Phase::Removing { .. } => None,
        }
    }

    /// Whether it takes part in an election, so that ARP frames concern it.
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Standby { .. } | Phase::Probing { .. } | Phase::Holding { .. })
    }

    /// Nothing of it is on an interface.
    pub fn is_at_rest(&self) -> bool {
        !matches!(self.phase, Phase::Holding { .. } | Phase::Removing { .. })
    }

    /// Until then the holder side asks dry: who holds the group by fallback is to have the lease first, so that nothing moves.
    pub fn asks_dry_until(&self) -> BootInstant {
        match self.phase {
            Phase::Standby { .. } | Phase::Probing { .. } => BootInstant::from_boot(std::time::Duration::MAX),
            Phase::Off => self.deference.until(self.heard, &self.times),
            Phase::Holding { .. } | Phase::Removing { .. } => BootInstant::default(),
        }
    }

    /// The lease is this node's: the VIP stays where it is, and whoever holds it by fallback lets go.
    fn holds_a_lease(&mut self, before: LeaseSide, effects: &mut Vec<FallbackEffect>) {
        match self.phase {
            Phase::Holding { .. } | Phase::Standby { .. } | Phase::Probing { .. } => self.phase = Phase::Off,
            // What is being removed is put on again after that by the holder side.
            Phase::Removing { .. } => self.phase = Phase::Off,
            Phase::Off => {}
        }
        (self.heard, self.deference) = (None, Deference::default());
        if before != LeaseSide::Holds && self.circumstances.may.is_some() {
            self.tell_all(Standing::Leases, effects);
        }
    }

    /// As with a lease: it comes before everything else.
    fn remove_in_time(&mut self, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        if self.until().is_some_and(|until| now >= until.saturating_sub(self.times.removal)) {
            self.remove("fallback was not renewed in time", false, effects);
        }
    }

    fn take(&mut self, event: FallbackEvent, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        match event {
            FallbackEvent::Advert { from, standing, fitness } if from != self.me && self.candidates.contains(&from) => {
                match standing {
                    Standing::Leases => self.yield_to("another director holds its lease", self.times.ttl * 2, now, effects),
                    Standing::FallsBack => self.heard_a_holder(from, fitness, now, effects),
                    Standing::Looks => self.heard_who_looks(from, fitness, now, effects),
                    Standing::LetsGo => self.hears_of_an_end(now),
                }
            }
            FallbackEvent::Advert { .. } | FallbackEvent::Look => {}
            FallbackEvent::Seen(ArpSeen::Claim) => self.yield_to("another machine has the vip", self.times.ttl, now, effects),
            FallbackEvent::Seen(ArpSeen::Probe) => self.make_way(now),
            // Who cannot see whether anybody has the VIP does not take it.
            FallbackEvent::CannotLook => {
                if let Phase::Probing { .. } = self.phase {
                    self.phase = Phase::Standby { next: now + self.times.ttl };
                }
            }
            FallbackEvent::InstallFailed => {
                if self.until().is_some() {
                    self.not_before = now + self.times.back_off;
                    self.remove("kernel would not take the VIP", true, effects);
                }
            }
            FallbackEvent::Removed => {
                if let Phase::Removing { of_own_accord } = self.phase {
                    self.phase = Phase::Off;
                    if of_own_accord {
                        self.tell_all(Standing::LetsGo, effects);
                    }
                }
            }
        }
    }

    fn heard_a_holder(&mut self, from: NodeId, fitness: Fitness, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        if self.circumstances.lease == LeaseSide::Holds {
            return effects.push(FallbackEffect::Send { to: from, standing: Standing::Leases });
        }
        self.heard = Some(now);
        self.deference.begin(now);
        match self.phase {
            Phase::Holding { .. } if self.is_better(from, fitness) => {
                self.remove("a better director holds it by fallback", false, effects)
            }
            // It is told who is better (RFC 9568 §6.4.3).
            Phase::Holding { .. } => effects.push(FallbackEffect::Send { to: from, standing: Standing::FallsBack }),
            // Preemption is off: whoever holds it keeps it.
            Phase::Standby { .. } | Phase::Probing { .. } => self.phase = Phase::Standby { next: self.after_the_holder(now) },
            Phase::Off | Phase::Removing { .. } => {}
        }
    }

    /// Before it is heard by ARP, or where it is on another part of the VIP's network: the better one goes first.
    fn heard_who_looks(&mut self, from: NodeId, fitness: Fitness, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        if self.circumstances.lease == LeaseSide::Holds {
            return effects.push(FallbackEffect::Send { to: from, standing: Standing::Leases });
        }
        let back = now + self.times.stand_back;
        match self.phase {
            Phase::Holding { .. } => effects.push(FallbackEffect::Send { to: from, standing: Standing::FallsBack }),
            Phase::Standby { next } if self.is_better(from, fitness) => self.phase = Phase::Standby { next: next.max(back) },
            Phase::Probing { .. } if self.is_better(from, fitness) => self.phase = Phase::Standby { next: back },
            Phase::Standby { .. } | Phase::Probing { .. } | Phase::Off | Phase::Removing { .. } => {}
        }
    }

    fn is_better(&self, other: NodeId, fitness: Fitness) -> bool {
        (fitness, self.rank(self.me)) > (self.circumstances.may.unwrap_or(Fitness::NONE), self.rank(other))
    }

    fn hears_of_an_end(&mut self, now: BootInstant) {
        self.heard = None;
        let soon = now + self.skew();
        if let Phase::Standby { next } = &mut self.phase {
            *next = (*next).min(soon).max(self.not_before);
        }
    }

    /// Somebody has the VIP, so this node has it no more (RFC 5227 §2.4 (a)), or does not take it; it looks again after a while.
    fn yield_to(&mut self, why: &'static str, wait: std::time::Duration, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        self.not_before = self.not_before.max(now + wait);
        match self.phase {
            Phase::Holding { .. } => self.remove(why, false, effects),
            Phase::Standby { .. } | Phase::Probing { .. } => self.phase = Phase::Standby { next: self.not_before + self.skew() },
            Phase::Off | Phase::Removing { .. } => {}
        }
    }

    /// Another machine looks for the VIP at the same time, which is a conflict (RFC 5227 §2.1.1). A probe does not say whose it is: each stands back for as
    /// long as all better directors need to find out, the best not at all.
    fn make_way(&mut self, now: BootInstant) {
        let back = now + self.times.stand_back * self.directors_before();
        match &mut self.phase {
            Phase::Standby { next } => *next = (*next).max(back),
            phase @ Phase::Probing { .. } if back > now => *phase = Phase::Standby { next: back },
            Phase::Probing { .. } | Phase::Off | Phase::Holding { .. } | Phase::Removing { .. } => {}
        }
    }

    fn pursue(&mut self, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        let is_lost = self.begins_at().is_some_and(|at| now >= at);
        match self.phase {
            Phase::Holding { .. } if self.circumstances.may.is_none() => {
                self.remove("this node may not hold it any more", true, effects);
            }
            Phase::Holding { renew_at, .. } => self.hold_on(renew_at, now, effects),
            Phase::Off if is_lost => {
                let next = self.heard.map_or(now, |heard| (heard + self.times.master_down).max(now)) + self.skew();
                self.phase = Phase::Standby { next: next.max(self.not_before) };
            }
            Phase::Standby { .. } | Phase::Probing { .. } if !is_lost => {
                self.phase = Phase::Off;
                self.deference = Deference::default();
                self.deference.begin(now);
            }
            Phase::Standby { next } if now >= next => self.probe(0, now, effects),
            Phase::Probing { sent, next } if now >= next && sent < PROBES => self.probe(sent, now, effects),
            Phase::Probing { next, .. } if now >= next => {
                self.answered_since = None;
                self.extend(true, now, effects);
            }
            Phase::Off => self.deference.look(self.heard, &self.times, now),
            Phase::Standby { .. } | Phase::Probing { .. } | Phase::Removing { .. } => {}
        }
    }

    fn probe(&mut self, sent: u32, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        effects.push(FallbackEffect::Probe { all: true });
        // Not before: who is answered by ARP would keep others from it in vain, again and again.
        if sent + 1 == PROBES {
            self.tell_all(Standing::Looks, effects);
        }
        self.phase = Phase::Probing { sent: sent + 1, next: now + self.times.probe };
    }

    /// Each renewal looks again whether somebody else has the VIP: two networks may have become one, and announcements are rare.
    fn hold_on(&mut self, renew_at: BootInstant, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        let is_answered = self.begins_at().is_none_or(|at| now < at);
        self.answered_since = self.answered_since.or(Some(now)).filter(|_| is_answered);
        if self.answered_since.is_some_and(|since| now >= since + self.times.until_a_lease) {
            return self.remove("a majority of the voters answers, and grants no lease", true, effects);
        }
        if now >= renew_at {
            self.extend(false, now, effects);
            effects.push(FallbackEffect::Probe { all: false });
        }
    }

    fn extend(&mut self, fresh: bool, now: BootInstant, effects: &mut Vec<FallbackEffect>) {
        let until = now + self.times.ttl;
        self.phase = Phase::Holding { until, renew_at: now + self.times.advert };
        effects.push(FallbackEffect::Take { until, fresh });
        self.tell_all(Standing::FallsBack, effects);
    }

    fn remove(&mut self, why: &'static str, of_own_accord: bool, effects: &mut Vec<FallbackEffect>) {
        effects.push(FallbackEffect::Remove { why });
        self.phase = Phase::Removing { of_own_accord };
    }

    fn tell_all(&self, standing: Standing, effects: &mut Vec<FallbackEffect>) {
        let others = self.candidates.iter().filter(|node| **node != self.me);
        effects.extend(others.map(|to| FallbackEffect::Send { to: *to, standing }));
    }

    /// When fallback begins, if no majority answers until then; `None`: one does, or this node may not hold the group now.
    fn begins_at(&self) -> Option<BootInstant> {
        let Circumstances { may, lease, unanswered_since, was_answered } = self.circumstances;
        let wait = if was_answered { self.times.silence } else { self.times.silence_at_first };
        unanswered_since.filter(|_| may.is_some() && lease == LeaseSide::Free).map(|since| since + wait)
    }

    /// When to look for the VIP, if the fallback holder that was just heard says nothing more (RFC 9568 §6.1: `Active_Down_Interval`).
    fn after_the_holder(&self, now: BootInstant) -> BootInstant {
        (now + self.times.master_down + self.skew()).max(self.not_before)
    }

    fn rank(&self, node: NodeId) -> usize {
        self.candidates.iter().position(|candidate| *candidate == node).unwrap_or(self.candidates.len())
    }

    /// How many directors go first: those that are better in the order. Who is not well lets all go first that may be.
    fn directors_before(&self) -> u32 {
        let is_well = self.circumstances.may == Some(Fitness::WELL);
        let before = self.rank(self.me) + if is_well { 0 } else { self.candidates.len() };
        u32::try_from(before.min(64)).expect("at most 64")
    }

    fn skew(&self) -> std::time::Duration {
        self.times.skew * self.directors_before()
    }
}

#[cfg(test)]
mod tests;
