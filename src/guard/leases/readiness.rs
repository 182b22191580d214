//! Whether this node is ready to hold each group, and how fit it is.

use super::{Leases, Step, work::Work};
use crate::{
    model::{Fitness, Obstacles, VipName},
    vip::HolderEvent,
};

impl Leases {
    /// What keeps this node from taking groups: what the kernel said when it last tried, or their interface.
    pub fn obstacles(&self) -> Obstacles {
        let refused = self.groups_here.iter().filter_map(|(group, state)| Some((group.clone(), state.refused()?.to_owned())));
        refused.chain(self.barred.clone()).collect()
    }

    /// What was last told by [`super::LeaseEvent::Links`].
    pub fn barred(&self) -> &Obstacles {
        &self.barred
    }

    /// A group whose interface goes down is let go at once.
    pub(super) fn links_are(&mut self, barred: Obstacles, step: &mut Step) {
        let before = std::mem::replace(&mut self.barred, barred);
        for (group, state) in &mut self.groups_here {
            state.set_barred(self.barred.contains_key(group));
        }
        let changed = self.groups_here.keys().filter(|group| before.contains_key(*group) != self.barred.contains_key(*group));
        step.queue.extend(changed.map(|group| Work::Holder(group.clone(), self.readiness(group))));
    }

    /// This node is ready to hold a group when its rules are in the kernel and the group's interface can carry it.
    pub(super) fn readiness(&self, group: &VipName) -> HolderEvent {
        HolderEvent::Ready(self.ready && !self.barred.contains_key(group))
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
