//! Which groups this node has a state for, as the rules change.

use super::{GroupState, Leases, Step, work::Work};
use crate::{
    guard::protocol::GroupOrder,
    model::VipName,
    vip::{Fallback, Holder, HolderEvent, HolderState, VoterEvent, voter::transition},
};

impl Leases {
    pub(super) fn groups_are(&mut self, orders: Vec<GroupOrder>, step: &mut Step) {
        self.unsettled = true;
        self.moving_until = Some(step.at.now + transition(self.timing.ttl));
        let candidates = orders.iter().map(|order| (order.group.name.clone(), order.candidates.clone())).collect();
        step.queue.push_back(Work::Voter(VoterEvent::Candidates(candidates)));
        self.orders = orders.into_iter().map(|order| (order.group.name.clone(), order)).collect();
        for (name, state) in &mut self.groups_here {
            if let Some(order) = self.orders.get(name) {
                state.set_order(order.clone());
                step.queue.push_back(Work::Holder(name.clone(), HolderEvent::Addresses(state.asked_for())));
                step.queue.push_back(Work::Holder(name.clone(), HolderEvent::Candidates(order.candidates.clone())));
            } else {
                state.leaves();
            }
        }
    }

    /// Who may hold a group has a state for it; a state that is no longer wanted retires first and is then cleared away. A group that comes back
    /// meanwhile gets a new state.
    pub(super) fn fill_and_clear_groups(&mut self, step: &mut Step) {
        self.groups_here.retain(|_, state| !state.is_retired());
        let missing: Vec<GroupOrder> = self.orders.values().filter(|order| self.lacks(&order.group.name)).cloned().collect();
        for order in missing {
            self.add_slot(order, step);
        }
        self.work_off(step);
        self.settle_heirs(step);
        for (name, state) in &self.groups_here {
            if !self.wants(name) && state.state() != HolderState::Removing && !state.is_kept() {
                step.queue.push_back(Work::Holder(name.clone(), HolderEvent::Retire));
            }
        }
    }

    pub(super) fn wants(&self, group: &VipName) -> bool {
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
        tell(HolderEvent::Addresses(order.group.addresses.clone()));
        tell(HolderEvent::Fitness(self.fitness_for(&name)));
        tell(self.readiness(&name));
        self.groups_here.insert(name, GroupState::new(order, holder, Fallback::new(self.me, self.timing)));
        self.bar_groups();
    }
}
