//! This node's part in all leases: one voter, a holder for each group it may hold, and who reaches whom. Pure: it says what is to be done.

use super::{
    effect::Effect,
    group_state::{GroupState, Wish},
    placement::Placement,
    protocol::GroupOrder,
    sightings::Claims,
};
use crate::{
    clock::BootInstant,
    model::{Fitness, Holding, NodeId, Obstacles, Ownership, TimingProfile, VipName},
    vip::{
        ArpSeen, Fallback, FallbackEvent, Holder, HolderEvent, HolderState, LeaseMembership, LeaseMessage, LeaseTiming, Life,
        Voter, VoterEffect, VoterEvent, rule_toggles::RuleToggles,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

mod addresses;
mod fallback;
mod readiness;
mod simulated;
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
    /// The addresses of a group are gone, or neighbours may have forgotten them.
    Disturbed(VipName),
    /// A guard said something.
    Heard {
        /// Who.
        from: NodeId,
        /// Where an answer reaches it.
        source: SocketAddr,
        /// What.
        message: LeaseMessage,
    },
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
    retiring: bool,
    /// Groups may have to come or go.
    unsettled: bool,
    /// The number of the next holder's life.
    next_life: Life,
    addresses: Addresses,
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
            retiring: false,
            unsettled: false,
            next_life: life,
            addresses: Addresses::default(),
        }
    }

    /// Takes one event; says what is to be done, in order.
    pub fn step(&mut self, event: LeaseEvent, at: Moment) -> Vec<Effect> {
        let mut step = Step { at, queue: VecDeque::new(), acts: Vec::new() };
        self.take(event, &mut step);
        self.work_off(&mut step);
        while std::mem::take(&mut self.unsettled) {
            self.fill_and_clear_groups(&mut step);
            self.work_off(&mut step);
        }
        step.acts
    }

    /// When [`LeaseEvent::Tick`] is due.
    pub fn deadline(&self) -> Option<BootInstant> {
        self.groups_here.values().filter_map(GroupState::deadline).min()
    }

    /// What the worker is told.
    pub fn ownership(&self) -> Ownership {
        let holding = |group| self.groups_here.get(group).map_or(Holding::NotHeld, GroupState::holding);
        self.orders.keys().map(|group| (group.clone(), holding(group))).collect()
    }

    /// What is on interfaces because of them.
    pub fn claims(&self) -> Claims {
        let held = |(group, state): (&VipName, &GroupState)| Some((group.clone(), state.held_at()?.clone()));
        Claims {
            ours: self.groups_here.values().flat_map(GroupState::claims).collect(),
            held: self.groups_here.iter().filter_map(held).collect(),
        }
    }

    /// Every address that this node has or may come to have on an interface.
    pub fn places(&self) -> BTreeSet<Placement> {
        self.groups_here.values().flat_map(GroupState::places).collect()
    }

    /// After [`LeaseEvent::RetireAll`]: nothing is held, and everything has been released.
    pub fn all_retired(&self) -> bool {
        self.groups_here.values().all(GroupState::is_retired)
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
                let groups = self.groups_here.keys();
                step.queue.extend(groups.map(|group| Work::Holder(group.clone(), self.readiness(group))));
            }
            LeaseEvent::Links(barred) => self.links_are(barred, step),
            LeaseEvent::Disturbed(group) => {
                // A lease that is over comes first.
                step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Tick));
                self.work_off(step);
                step.acts.extend(self.groups_here.get_mut(&group).and_then(GroupState::put_back));
            }
            LeaseEvent::Fitness(fitness) => {
                self.fitness = fitness;
                self.tell_fitness(step);
            }
            LeaseEvent::Tended(tended) => {
                self.tended = tended;
                self.tell_fitness(step);
            }
            LeaseEvent::Heard { from, source, message } => self.heard_from(from, source, message, step),
            LeaseEvent::Installed { group, lasts, left } => {
                if let Some(state) = self.groups_here.get_mut(&group) {
                    state.installed(step.at.now, step.at.unix, lasts, left);
                    step.queue.push_back(Work::Holder(group, HolderEvent::Installed));
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
                if let Some(state) = self.groups_here.get_mut(&group) {
                    state.removed();
                    step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Removed));
                    step.queue.push_back(Work::Fallback(group, FallbackEvent::Removed));
                }
            }
            LeaseEvent::RemovalFailed(group) => {
                if let Some(state) = self.groups_here.get_mut(&group) {
                    state.removal_failed(step.at.now);
                }
            }
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
        step.acts.extend(self.groups_here.values_mut().filter_map(|state| state.due(now)));
    }

    fn groups_are(&mut self, orders: Vec<GroupOrder>, step: &mut Step) {
        self.unsettled = true;
        let candidates = orders.iter().map(|order| (order.group.name.clone(), order.candidates.clone())).collect();
        step.queue.push_back(Work::Voter(VoterEvent::Candidates(candidates)));
        self.orders = orders.into_iter().map(|order| (order.group.name.clone(), order)).collect();
        for (name, state) in &mut self.groups_here {
            if let Some(order) = self.orders.get(name) {
                state.set_order(order.clone());
                step.queue.push_back(Work::Holder(name.clone(), HolderEvent::Candidates(order.candidates.clone())));
            }
        }
    }

    fn heard_from(&mut self, from: NodeId, source: SocketAddr, message: LeaseMessage, step: &mut Step) {
        if from == self.me {
            // Another node speaks in our name, or a datagram came back. Nothing of ours comes over the network.
            return;
        }
        self.addresses.heard(from, source, &message);
        step.queue.push_back(routed(from, message));
    }

    /// Who may hold a group has a state for it; a state that is no longer wanted retires first and is then cleared away. A group that comes back
    /// meanwhile gets a new state.
    fn fill_and_clear_groups(&mut self, step: &mut Step) {
        self.groups_here.retain(|_, state| !state.is_retired());
        for (name, state) in &self.groups_here {
            if !self.wants(name) && state.state() != HolderState::Removing {
                step.queue.push_back(Work::Holder(name.clone(), HolderEvent::Retire));
            }
        }
        let missing: Vec<GroupOrder> = self.orders.values().filter(|order| self.lacks(&order.group.name)).cloned().collect();
        for order in missing {
            self.add_slot(order, step);
        }
    }

    fn wants(&self, group: &VipName) -> bool {
        !self.retiring && self.orders.get(group).is_some_and(|order| order.candidates.contains(&self.me))
    }

    fn lacks(&self, group: &VipName) -> bool {
        self.wants(group) && !self.groups_here.contains_key(group)
    }

    fn add_slot(&mut self, order: GroupOrder, step: &mut Step) {
        let name = order.group.name.clone();
        let first_round = u64::try_from(step.at.unix.as_micros()).unwrap_or(u64::MAX);
        let holder = Holder::with_toggles(self.me, name.clone(), self.timing, first_round, self.next_life, self.toggles);
        self.next_life = self.next_life.wrapping_add(1);
        let mut tell = |event| step.queue.push_back(Work::Holder(name.clone(), event));
        if let Some(membership) = &self.membership {
            tell(HolderEvent::Membership(membership.clone()));
        }
        tell(HolderEvent::Candidates(order.candidates.clone()));
        tell(HolderEvent::Fitness(self.fitness_for(&name)));
        tell(self.readiness(&name));
        let mut state = GroupState::new(order, holder, Fallback::new(self.me, self.timing));
        state.set_barred(self.barred.contains_key(&name));
        self.groups_here.insert(name.clone(), state);
    }

    fn tell_all(&self, event: &HolderEvent, step: &mut Step) {
        step.queue.extend(self.groups_here.keys().map(|group| Work::Holder(group.clone(), event.clone())));
    }

    fn work_off(&mut self, step: &mut Step) {
        while let Some(work) = step.queue.pop_front() {
            match work {
                Work::Voter(event) => {
                    for VoterEffect::Send { to, message } in self.voter.step(event, step.at.now) {
                        self.post(to, message, step);
                    }
                }
                Work::Holder(group, event) => self.step_holder(&group, event, step),
                Work::Fallback(group, event) => self.step_fallback(&group, event, step),
            }
        }
    }

    fn step_holder(&mut self, group: &VipName, event: HolderEvent, step: &mut Step) {
        let Some(state) = self.groups_here.get_mut(group) else { return };
        let effects = state.holder().step(event, step.at.now);
        let wishes: Vec<Wish> = effects.into_iter().filter_map(|effect| state.translate(effect)).collect();
        self.fulfil(wishes, step);
        // Whatever its holder side does may concern the group's fallback.
        self.step_fallback(group, FallbackEvent::Look, step);
    }

    fn fulfil(&self, wishes: Vec<Wish>, step: &mut Step) {
        for wish in wishes {
            match wish {
                Wish::Send(to, message) => self.post(to, message, step),
                Wish::Effect(act) => step.acts.push(act),
            }
        }
    }

    /// To this node itself at once; to others by datagram, if it is known where they are.
    fn post(&self, to: NodeId, message: LeaseMessage, step: &mut Step) {
        if to == self.me {
            step.queue.push_back(routed(self.me, message));
        } else if let Some(to) = self.addresses.of(to, &message) {
            step.acts.push(Effect::Send { to, message });
        }
    }
}

#[cfg(test)]
mod tests;
