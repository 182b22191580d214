//! Whether this node is ready to hold each group, and how fit it is.

use super::{Leases, Step, work::Work};
use crate::{
    guard::clock_rates::OwnClock,
    model::{Fitness, Obstacles, VipName},
    vip::HolderEvent,
};

/// Why a holder lets go whose interface has gone down.
const LINK_LOST: &str = "its interface cannot carry it";
/// Why a holder lets go that cannot count its lease.
const WRONG_CLOCK: &str = "the clock of this node runs at another rate than others'";

impl Leases {
    /// A group whose interface goes down is let go at once.
    pub(super) fn links_are(&mut self, barred: Obstacles, step: &mut Step) {
        let before = std::mem::replace(&mut self.barred, barred);
        self.bar_groups();
        let changed = self.groups_here.keys().filter(|group| before.contains_key(*group) != self.barred.contains_key(*group));
        step.queue.extend(changed.map(|group| Work::Holder(group.clone(), self.readiness(group))));
    }

    /// Whose clock is wrong counts no lease, and if it is too fast no promise.
    pub(super) fn clock_is(&mut self, clock: OwnClock, step: &mut Step) {
        self.clock = clock;
        self.voter.set_clock_is_fast(!clock.may_grant());
        self.bar_groups();
        self.tell_readiness(step);
    }

    pub(super) fn tell_readiness(&self, step: &mut Step) {
        step.queue.extend(self.groups_here.keys().map(|group| Work::Holder(group.clone(), self.readiness(group))));
    }

    pub(super) fn bar_groups(&mut self) {
        for (group, state) in &mut self.groups_here {
            let link = self.barred.contains_key(group).then_some(LINK_LOST);
            state.set_barred(link.or((!self.clock.may_hold()).then_some(WRONG_CLOCK)));
        }
    }

    /// This node is ready to hold a group when its rules are in the kernel, the group's interface can carry it, and its clock is good.
    pub(super) fn readiness(&self, group: &VipName) -> HolderEvent {
        HolderEvent::Ready(self.ready && !self.barred.contains_key(group) && self.clock.may_hold())
    }

    pub(super) fn fitness_for(&self, group: &VipName) -> Fitness {
        let told = self.fitness.get(group).copied().unwrap_or(Fitness::WELL);
        if self.tended { told } else { told.min(Fitness::LAST_RESORT) }
    }

    pub(super) fn tell_fitness(&self, step: &mut Step) {
        let fitness = |group: &VipName| HolderEvent::Fitness(self.fitness_for(group));
        step.queue.extend(self.groups_here.keys().map(|group| Work::Holder(group.clone(), fitness(group))));
    }
}
