//! The fallbacks of all groups among the leases: who is told what, and what the guard listens for.

use super::{Leases, Step, work::Work};
use crate::{
    guard::group_state::{FallbackStanding, GroupState, Wish},
    model::VipName,
    vip::FallbackEvent,
};
use std::{collections::BTreeMap, net::Ipv4Addr};

/// The addresses whose ARP frames are listened for, by interface and then by address.
pub type ArpInterest = BTreeMap<String, BTreeMap<Ipv4Addr, VipName>>;

impl Leases {
    /// What the guard listens for by ARP now: nothing while a majority of the voters answers.
    pub fn arp_interest(&self) -> ArpInterest {
        let mut interest = ArpInterest::new();
        for (group, state) in &self.groups_here {
            if let Some((interface, vips)) = state.watched_by_fallback() {
                interest.entry(interface.to_owned()).or_default().extend(vips.map(|vip| (vip, group.clone())));
            }
        }
        interest
    }

    /// Which groups are without a majority here, and where each stands.
    pub fn fallbacks(&self) -> BTreeMap<VipName, FallbackStanding> {
        self.groups_here.iter().filter_map(|(group, state)| Some((group.clone(), state.fallback_standing()?))).collect()
    }

    /// Groups whose fallback is due.
    pub(super) fn tick_fallbacks(&self, step: &mut Step) {
        let now = step.at.now;
        let is_due = |state: &GroupState| state.fallback_deadline().is_some_and(|deadline| deadline <= now);
        let due = self.groups_here.iter().filter(|(_, state)| is_due(state));
        step.queue.extend(due.map(|(group, _)| Work::Fallback(group.clone(), FallbackEvent::Look)));
    }

    pub(super) fn step_fallback(&mut self, group: &VipName, event: FallbackEvent, step: &mut Step) {
        let Some(state) = self.groups_here.get_mut(group) else { return };
        let from = step.acts.len();
        for wish in state.step_fallback(event, step.at.now) {
            match wish {
                Wish::Send(to, message) => step.post(self.me, &self.addresses, to, message),
                Wish::Effect(act) => step.acts.push(act),
            }
        }
        self.unsettled |= state.is_retired();
        self.see_to_acts(from, step);
    }
}
