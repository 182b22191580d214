//! What only the simulation sees and sets of the leases.

use super::{GroupState, HolderState, LeaseTiming, Leases, Placement};
use crate::{clock::BootInstant, model::VipName};

impl Leases {
    /// Asks with another ttl from now on.
    #[doc(hidden)]
    pub fn set_timing(&mut self, timing: LeaseTiming) {
        self.timing = timing;
        self.groups_here.values_mut().for_each(|state| state.holder().set_timing(timing));
        self.keep_time_for_removals();
        self.set_deadline();
    }

    /// The end of the lease under which this node has `place` for `group`; `None`: it holds no such lease.
    #[doc(hidden)]
    pub fn lease_on(&self, group: &VipName, place: &Placement) -> Option<BootInstant> {
        let state =
            self.groups_here.get(group).filter(|state| state.placed().contains(place) && state.leased().contains(&place.1))?;
        match state.state() {
            HolderState::Holding { until, .. } => Some(until),
            HolderState::Idle | HolderState::Asking | HolderState::Removing | HolderState::Retired => None,
        }
    }

    /// Its groups, and where each stands.
    #[doc(hidden)]
    pub fn states(&self) -> impl Iterator<Item = (&VipName, &GroupState)> {
        self.groups_here.iter()
    }
}
