//! The simulated guard's loop: deadlines first, then what comes in, one event a turn; and what `src/guard/executor.rs` does for it. While the kernel is at
//! work, the loop waits, as the product's does.

use super::{
    Nanos, TTL,
    kernel::OnInterface,
    node::{Doing, who_listens_at},
    world::{Event, World},
};
use lvs_agent::{
    guard::{effect::Effect, leases::LeaseEvent, placement::Placement},
    kernel::io::address::lifetime,
    model::{NodeId, VipName},
    vip::LeaseMessage,
};
use std::{collections::BTreeSet, time::Duration};

/// What a kernel takes at most for one thing, mostly.
const QUICK: Nanos = TTL / 300;
/// …and now and then: longer than the time that holders keep free for it.
const SLOW: Nanos = TTL / 10;
/// The kernel may take an address off so long before its lifetime ends.
const EARLY: Nanos = 20_000_000;
/// A loop that turns more often without waiting never rests.
const MOST_TURNS: usize = 100_000;

impl World {
    /// Lets the guard of `node` work until it has to wait.
    pub(super) fn go_on(&mut self, node: usize) {
        for _ in 0..MOST_TURNS {
            let now = self.nodes[node].clock.now(self.now);
            let Some(guard) = self.nodes[node].guard.as_mut() else { return };
            if guard.paused {
                return;
            }
            match &guard.doing {
                Some(doing) if doing.done => self.done(node),
                Some(_) => return,
                None => {
                    if let Some(effect) = guard.effects.pop_front() {
                        self.begin(node, effect);
                    } else if guard.leases.deadline().is_some_and(|deadline| deadline <= now) {
                        self.step(node, LeaseEvent::Tick);
                    } else if let Some(event) = guard.inbox.pop_front() {
                        self.step(node, event);
                    } else {
                        return self.set_alarm(node);
                    }
                }
            }
        }
        panic!("the guard of node {node} never rests");
    }

    fn step(&mut self, node: usize, event: LeaseEvent) {
        let moment = self.nodes[node].moment(self.now);
        if let Some(guard) = self.nodes[node].guard.as_mut() {
            guard.effects.extend(guard.leases.step(event, moment));
            self.note_leases(node);
        }
    }

    fn begin(&mut self, node: usize, effect: Effect) {
        let now = self.nodes[node].clock.now(self.now);
        match &effect {
            Effect::Send { to, message } => return self.speak(node, who_listens_at(*to), message.clone()),
            // The fence is below what is looked at here: no node has a VIP because of it.
            Effect::Announce { .. } | Effect::Extend { .. } | Effect::Probe { .. } => return,
            // Too late: at the tick the holder lets go.
            Effect::Install { until, .. } if now >= *until => return self.step(node, LeaseEvent::Tick),
            Effect::Install { .. } | Effect::Remove { .. } => {}
        }
        let slowly = self.dice.chance(20);
        let addresses = match &effect {
            Effect::Install { places, .. } | Effect::Remove { places, .. } => places.len() as u64,
            Effect::Send { .. } | Effect::Announce { .. } | Effect::Extend { .. } | Effect::Probe { .. } => 0,
        };
        let takes = self.dice.below(if slowly { SLOW } else { QUICK }) + self.nodes[node].kernel.pace * addresses;
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        guard.doing = Some(Doing { effect, begun: now, slowly, done: false });
        let incarnation = guard.incarnation;
        self.after(takes, Event::KernelDone(node, incarnation));
    }

    fn speak(&mut self, node: usize, to: NodeId, message: LeaseMessage) {
        let message = if self.liar == Some(node) { self.lie(node, message) } else { message };
        self.send(node, to, message);
    }

    /// The kernel has done what it was asked to, or refuses; the guard sees that when it is not stopped.
    pub(super) fn kernel_done(&mut self, node: usize, incarnation: u64) {
        let Some(guard) = self.nodes[node].guard.as_mut().filter(|guard| guard.incarnation == incarnation) else { return };
        if let Some(doing) = &mut guard.doing {
            doing.done = true;
        }
        self.go_on(node);
    }

    fn done(&mut self, node: usize) {
        let now = self.nodes[node].clock.now(self.now);
        let Some(guard) = self.nodes[node].guard.as_mut() else { return };
        let Some(doing) = guard.doing.take() else { return };
        if doing.slowly {
            guard.steady_since = now;
        }
        let result = match doing.effect.clone() {
            Effect::Install { group, places, stale, .. } => self.install(node, group, &places, &stale, &doing),
            Effect::Remove { group, places, .. } => self.remove(node, group, &places),
            Effect::Send { .. } | Effect::Announce { .. } | Effect::Extend { .. } | Effect::Probe { .. } => return,
        };
        self.step(node, result);
    }

    /// The guard ends while the kernel is at work: what it was asked to do may be done all the same.
    pub(super) fn done_for_the_dead(&mut self, node: usize) {
        let doing = self.nodes[node].guard.as_mut().and_then(|guard| guard.doing.take());
        if let Some(doing) = doing.filter(|_| self.dice.chance(500))
            && let Effect::Install { group, places, stale, .. } = doing.effect.clone()
        {
            self.install(node, group, &places, &stale, &doing);
        }
    }

    fn install(
        &mut self,
        node: usize,
        group: VipName,
        places: &BTreeSet<Placement>,
        stale: &BTreeSet<Placement>,
        doing: &Doing,
    ) -> LeaseEvent {
        let Effect::Install { until, .. } = doing.effect else { return LeaseEvent::Tick };
        let lasts_for = lifetime(until - doing.begun);
        let fails = self.options.kernel_failures && self.dice.chance(2);
        let done = if fails { self.dice.below(places.len() as u64) as usize } else { places.len() };
        for (_, address) in places.iter().take(done) {
            let early = Duration::from_nanos(self.dice.below(EARLY));
            let now = self.nodes[node].clock.now(self.now);
            let by = self.nodes[node].guard.as_ref().map_or(0, |guard| guard.incarnation);
            let lasts = (now + lasts_for).saturating_sub(early);
            let entry = OnInterface { by, group: group.clone(), lease_until: until, lasts, refused_at: None };
            if self.nodes[node].kernel.put_on(*address, entry, now) {
                self.takeovers.push((self.now, node));
            }
            self.check_holders(*address);
        }
        if fails {
            return LeaseEvent::InstallFailed { group, why: "no".to_owned() };
        }
        let left = if self.take_off(node, stale) { BTreeSet::new() } else { stale.clone() };
        LeaseEvent::Installed { group, lasts: doing.begun + lasts_for, left }
    }

    fn remove(&mut self, node: usize, group: VipName, places: &BTreeSet<Placement>) -> LeaseEvent {
        if self.take_off(node, places) { LeaseEvent::Removed(group) } else { LeaseEvent::RemovalFailed(group) }
    }

    /// Tries all; whether all are off.
    pub(super) fn take_off(&mut self, node: usize, places: &BTreeSet<Placement>) -> bool {
        let now = self.nodes[node].clock.now(self.now);
        let mut all = true;
        for (_, address) in places {
            if self.options.kernel_failures && self.dice.chance(20) {
                self.nodes[node].kernel.refuse(address, now);
                all = false;
            } else {
                self.nodes[node].kernel.take_off(address);
            }
        }
        all
    }

    fn set_alarm(&mut self, node: usize) {
        let Some(guard) = self.nodes[node].guard.as_ref() else { return };
        let at = guard.leases.deadline().map(|deadline| self.nodes[node].clock.real_of(deadline).max(self.now));
        let (incarnation, is_set) = (guard.incarnation, at == guard.tick_at && at > Some(self.now));
        if let (Some(at), false) = (at, is_set) {
            self.after(at - self.now, Event::Alarm(node, incarnation));
        }
        if let Some(guard) = self.nodes[node].guard.as_mut() {
            guard.tick_at = at;
        }
    }
}
