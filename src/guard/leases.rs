//! This node's part in all leases: one voter, a holder for each group it may hold, and who reaches whom. Pure: it says what is to be done.

use super::{
    clock_rates::OwnClock,
    effect::Effect,
    group_state::{GroupState, Wish},
    placement::Placement,
    protocol::GroupOrder,
};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId, Obstacles, TimingProfile, VipName},
    vip::{
        ArpSeen, FallbackEvent, HolderEvent, HolderState, LeaseMembership, LeaseMessage, LeaseTiming, Life, Voter, VoterEffect,
        VoterEvent, rule_toggles::RuleToggles,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

mod addresses;
mod fallback;
mod groups;
mod heirs;
mod readiness;
mod reserve;
mod simulated;
mod views;
mod work;

use addresses::Addresses;
pub use fallback::ArpInterest;
use work::{Work, routed};

/// A point in time: one clock to decide by, the other for labels and for round numbers that no earlier start has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Boot-time clock.
    pub now: BootInstant,
    /// Unix time.
    pub unix: Duration,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseEvent {
    /// The worker told the effective membership.
    Membership(LeaseMembership),
    /// The worker told where each member's guard listens.
    Members(BTreeMap<NodeId, SocketAddr>),
    /// The worker told all VIP groups.
    Groups(Vec<GroupOrder>),
    /// The worker told whether rules are in the kernel.
    Ready(bool),
    /// The worker told how fit this node is for each group; for those that are not named it is well.
    Fitness(BTreeMap<VipName, Fitness>),
    /// Whether there is a worker, or was one lately. Without one this node is the last resort.
    Tended(bool),
    /// Groups that this node may hold and whose interface cannot carry them, and why. All others can be carried.
    Links(Obstacles),
    /// What other clocks say of this node's.
    Clock(OwnClock),
    /// The addresses of a group are gone, or neighbours may have forgotten them.
    Disturbed(VipName),
    /// A guard said something.
    Heard {
        /// Who.
        from: NodeId,
        /// Where an answer reaches it.
        source: SocketAddr,
        /// What, in one datagram.
        messages: Vec<LeaseMessage>,
    },
    /// [`Effect::Probe`] could not be done: whether another machine has an address of this group cannot be seen.
    CannotLook(VipName),
    /// Another machine was seen by ARP, of those that [`Leases::arp_interest`] names.
    Seen(VipName, ArpSeen),
    /// [`Effect::Install`] is done.
    Installed {
        /// Of this group.
        group: VipName,
        /// The kernel keeps the addresses at least until then.
        lasts: BootInstant,
        /// What was stale and would not go.
        left: BTreeSet<Placement>,
    },
    /// [`Effect::Install`] failed.
    InstallFailed {
        /// Of this group.
        group: VipName,
        /// What the kernel said.
        why: String,
    },
    /// [`Effect::Remove`] is done.
    Removed(VipName),
    /// [`Effect::Remove`] failed.
    RemovalFailed(VipName),
    /// Give up every group and take none until [`LeaseEvent::Return`]: shutdown, or the node leaves or is withdrawn. The voter side goes on.
    RetireAll,
    /// A worker said hello again after [`LeaseEvent::RetireAll`].
    Return,
    /// A deadline has come.
    Tick,
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Leases {
    me: NodeId,
    timing: LeaseTiming,
    toggles: RuleToggles,
    voter: Voter,
    groups_here: BTreeMap<VipName, GroupState>,
    /// Every group of the rules.
    orders: BTreeMap<VipName, GroupOrder>,
    membership: Option<LeaseMembership>,
    ready: bool,
    fitness: BTreeMap<VipName, Fitness>,
    tended: bool,
    /// See [`LeaseEvent::Links`].
    barred: Obstacles,
    clock: OwnClock,
    retiring: bool,
    /// Groups may have to come or go.
    unsettled: bool,
    /// Addresses move from one group of this node to another: until then the former one keeps them.
    moving_until: Option<BootInstant>,
    /// Groups of other nodes whose addresses were on this one's interfaces until now, for another group.
    passed_on: BTreeSet<VipName>,
    /// See [`Leases::deadline`]: it is asked for more often than it changes.
    deadline: Option<BootInstant>,
    /// The number of the next holder's life.
    next_life: Life,
    addresses: Addresses,
    removals: reserve::Removals,
}

/// What is left to do of one step.
struct Step {
    at: Moment,
    queue: VecDeque<Work>,
    acts: Vec<Effect>,
}

impl Leases {
    /// `started`: since when promises may have been forgotten. `life`: a number by chance, which the holders' lives are counted from.
    pub fn new(me: NodeId, timing: TimingProfile, started: BootInstant, life: Life) -> Self {
        Self::with_toggles(me, timing, started, life, RuleToggles::ON)
    }

    /// For the simulation: leases that may lack a rule.
    #[doc(hidden)]
    pub fn with_toggles(me: NodeId, timing: TimingProfile, started: BootInstant, life: Life, toggles: RuleToggles) -> Self {
        Self {
            me,
            timing: LeaseTiming::of(timing.ttl()),
            toggles,
            voter: Voter::with_toggles(me, timing.ttl(), started, toggles),
            groups_here: BTreeMap::new(),
            orders: BTreeMap::new(),
            membership: None,
            ready: false,
            fitness: BTreeMap::new(),
            tended: true,
            barred: Obstacles::new(),
            clock: OwnClock::Good,
            retiring: false,
            unsettled: false,
            moving_until: None,
            passed_on: BTreeSet::new(),
            deadline: None,
            next_life: life,
            addresses: Addresses::default(),
            removals: reserve::Removals::default(),
        }
    }

    /// Takes one event; says what is to be done, in order.
    pub fn step(&mut self, event: LeaseEvent, at: Moment) -> Vec<Effect> {
        let mut step = Step { at, queue: VecDeque::new(), acts: Vec::new() };
        self.take(event, &mut step);
        self.work_off(&mut step);
        self.unsettled |= self.moving_until.is_some();
        while std::mem::take(&mut self.unsettled) {
            self.fill_and_clear_groups(&mut step);
            self.work_off(&mut step);
        }
        self.pass_on(&mut step);
        self.set_deadline();
        step.acts
    }

    /// When [`LeaseEvent::Tick`] is due.
    pub fn deadline(&self) -> Option<BootInstant> {
        self.deadline
    }

    fn set_deadline(&mut self) {
        self.deadline = self.groups_here.values().filter_map(GroupState::deadline).chain(self.moving_until).min();
    }

    fn take(&mut self, event: LeaseEvent, step: &mut Step) {
        match event {
            LeaseEvent::Membership(membership) => {
                self.addresses.membership_is(&membership);
                self.membership = Some(membership.clone());
                step.queue.push_back(Work::Voter(VoterEvent::Membership(membership.clone())));
                self.tell_all(&HolderEvent::Membership(membership), step);
            }
            LeaseEvent::Members(members) => self.addresses.members_are(members),
            LeaseEvent::Groups(orders) => self.groups_are(orders, step),
            LeaseEvent::Ready(ready) => {
                self.ready = ready;
                self.tell_readiness(step);
            }
            LeaseEvent::Links(barred) => self.links_are(barred, step),
            LeaseEvent::Clock(clock) => self.clock_is(clock, step),
            LeaseEvent::Disturbed(group) => {
                // A lease that is over comes first.
                step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Tick));
                self.work_off(step);
                let from = step.acts.len();
                step.acts.extend(self.groups_here.get_mut(&group).and_then(GroupState::put_back));
                self.see_to_acts(from, step);
            }
            LeaseEvent::Fitness(fitness) => {
                self.fitness = fitness;
                self.tell_fitness(step);
            }
            LeaseEvent::Tended(tended) => {
                self.tended = tended;
                self.tell_fitness(step);
            }
            LeaseEvent::Heard { from, source, messages } => {
                for message in messages {
                    self.heard_from(from, source, message, step);
                    self.work_off(step);
                }
            }
            LeaseEvent::Installed { group, lasts, left } => {
                if let Some(state) = self.groups_here.get_mut(&group) {
                    let before = state.placed().clone();
                    state.installed(step.at.now, step.at.unix, lasts, left);
                    let gone = &before - state.placed();
                    step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Installed));
                    self.have_gone(&group, &gone, step);
                    self.keep_time_for_removals();
                }
            }
            LeaseEvent::InstallFailed { group, why } => {
                if let Some(state) = self.groups_here.get_mut(&group) {
                    state.install_failed(why);
                    step.queue.push_back(Work::Holder(group.clone(), HolderEvent::InstallFailed));
                    step.queue.push_back(Work::Fallback(group, FallbackEvent::InstallFailed));
                }
            }
            LeaseEvent::Removed(group) => {
                self.unsettled = true;
                self.removals.end(step.at.now);
                if let Some(state) = self.groups_here.get_mut(&group) {
                    let gone = state.placed().clone();
                    state.removed();
                    step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Removed));
                    step.queue.push_back(Work::Fallback(group.clone(), FallbackEvent::Removed));
                    self.have_gone(&group, &gone, step);
                    self.keep_time_for_removals();
                }
            }
            LeaseEvent::RemovalFailed(group) => {
                self.removals.end(step.at.now);
                if let Some(state) = self.groups_here.get_mut(&group) {
                    state.removal_failed(step.at.now);
                }
            }
            LeaseEvent::CannotLook(group) => step.queue.push_back(Work::Fallback(group, FallbackEvent::CannotLook)),
            LeaseEvent::Seen(group, seen) => step.queue.push_back(Work::Fallback(group, FallbackEvent::Seen(seen))),
            LeaseEvent::RetireAll => (self.retiring, self.unsettled) = (true, true),
            LeaseEvent::Return => (self.retiring, self.unsettled) = (false, true),
            LeaseEvent::Tick => self.tick(step),
        }
    }

    /// Most urgent first, announcements last: what was let go meanwhile is not announced. With one lease all are renewed, so that a datagram asks for as many as it holds.
    fn tick(&mut self, step: &mut Step) {
        let now = step.at.now;
        let holders = self.groups_here.iter().filter_map(|(name, state)| Some((state.holder_deadline()?, name.clone())));
        let mut due: Vec<(BootInstant, VipName)> = holders.filter(|(deadline, _)| *deadline <= now).collect();
        due.sort();
        let holds = |state: &GroupState| matches!(state.state(), HolderState::Holding { .. });
        let renews = due.iter().any(|(_, group)| self.groups_here.get(group).is_some_and(holds));
        step.queue.extend(due.into_iter().map(|(_, group)| Work::Holder(group, HolderEvent::Tick)));
        if renews {
            let held = self.groups_here.iter().filter(|(_, state)| holds(state));
            step.queue.extend(held.map(|(group, _)| Work::Holder(group.clone(), HolderEvent::Renew)));
        }
        self.tick_fallbacks(step);
        self.work_off(step);
        let from = step.acts.len();
        step.acts.extend(self.groups_here.values_mut().filter_map(|state| state.due(now)));
        self.see_to_acts(from, step);
    }

    fn heard_from(&mut self, from: NodeId, source: SocketAddr, message: LeaseMessage, step: &mut Step) {
        if from == self.me {
            // Another node speaks in our name, or a datagram came back. Nothing of ours comes over the network.
            return;
        }
        self.addresses.heard(from, source, &message);
        step.queue.push_back(routed(from, message));
    }

    fn tell_all(&self, event: &HolderEvent, step: &mut Step) {
        step.queue.extend(self.groups_here.keys().map(|group| Work::Holder(group.clone(), event.clone())));
    }

    fn work_off(&mut self, step: &mut Step) {
        while let Some(work) = step.queue.pop_front() {
            match work {
                Work::Voter(event) => {
                    for VoterEffect::Send { to, message } in self.voter.step(event, step.at.now) {
                        step.post(self.me, &self.addresses, to, message);
                    }
                }
                Work::Holder(group, event) => self.step_holder(&group, event, step),
                Work::Fallback(group, event) => self.step_fallback(&group, event, step),
            }
        }
    }

    fn step_holder(&mut self, group: &VipName, event: HolderEvent, step: &mut Step) {
        let Some(state) = self.groups_here.get_mut(group) else { return };
        let from = step.acts.len();
        for effect in state.holder().step(event, step.at.now) {
            match state.translate(effect) {
                Some(Wish::Send(to, message)) => step.post(self.me, &self.addresses, to, message),
                Some(Wish::Effect(act)) => step.acts.push(act),
                None => (),
            }
        }
        self.see_to_acts(from, step);
        // Whatever its holder side does may concern the group's fallback.
        self.step_fallback(group, FallbackEvent::Look, step);
    }
}

impl Step {
    /// To this node itself at once; to others by datagram, if it is known where they are.
    fn post(&mut self, me: NodeId, addresses: &Addresses, to: NodeId, message: LeaseMessage) {
        if to == me {
            self.queue.push_back(routed(me, message));
        } else if let Some(to) = addresses.of(to, &message) {
            self.acts.push(Effect::Send { to, message });
        }
    }
}

#[cfg(test)]
mod tests;
