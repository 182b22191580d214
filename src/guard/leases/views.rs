//! What the leases tell of themselves.

use super::{GroupState, Leases, Placement};
use crate::{
    guard::sightings::Claims,
    model::{Holding, Obstacles, Ownership, VipName},
};
use std::collections::BTreeSet;

impl Leases {
    /// What the worker is told.
    pub fn ownership(&self) -> Ownership {
        let holding = |group| self.groups_here.get(group).map_or(Holding::NotHeld, GroupState::holding);
        self.orders.keys().map(|group| (group.clone(), holding(group))).collect()
    }

    /// What keeps this node from taking groups: what the kernel said when it last tried, its clock, or their interface.
    pub fn obstacles(&self) -> Obstacles {
        let refused = self.groups_here.iter().filter_map(|(group, state)| Some((group.clone(), state.refused()?.to_owned())));
        let clock = self.clock.trouble().into_iter();
        let clock = clock.flat_map(|why| self.groups_here.keys().map(move |group| (group.clone(), why.clone())));
        refused.chain(clock).chain(self.barred.clone()).collect()
    }

    /// What was last told by [`LeaseEvent::Links`](super::LeaseEvent::Links).
    pub fn barred(&self) -> &Obstacles {
        &self.barred
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

    /// After [`LeaseEvent::RetireAll`](super::LeaseEvent::RetireAll): nothing is held, and everything has been released.
    pub fn all_retired(&self) -> bool {
        self.groups_here.values().all(GroupState::is_retired)
    }
}
