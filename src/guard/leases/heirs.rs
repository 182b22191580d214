//! Addresses that go from one group to another: with a rename, a split or a merge of groups. Where this node may hold both, the former one keeps them until the
//! other, its heir, has the lease, and no removal of one takes off what is the other's by now. Where it may not, the heir's candidates are told.

use super::{Effect, GroupState, Leases, Placement, Step, work::Work};
use crate::{
    model::VipName,
    vip::{HolderEvent, HolderState, LeaseMessage},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

impl Leases {
    /// Lets groups have what others have left them, and keeps what they may come to have yet.
    pub(super) fn settle_heirs(&mut self, step: &mut Step) {
        let Some(until) = self.moving_until else { return };
        let in_time = step.at.now < until;
        let mut heirs = BTreeSet::new();
        for former in self.groups_here.keys().cloned().collect::<Vec<_>>() {
            let (mut ceded, mut kept) = (BTreeSet::new(), BTreeSet::new());
            for (place, heir) in self.inheritances(&former) {
                let Some(state) = self.groups_here.get(&heir) else { continue };
                if state.held_at().is_some_and(|places| places.contains(&place)) {
                    ceded.insert(place);
                } else if in_time && may_come_to_hold(state) {
                    kept.insert(place.1);
                    heirs.insert(heir);
                }
            }
            let Some(state) = self.groups_here.get_mut(&former) else { continue };
            if state.cede(&ceded) {
                step.queue.push_back(Work::Holder(former.clone(), HolderEvent::Addresses(state.asked_for())));
            }
            state.keep(kept);
        }
        for group in self.groups_here.keys() {
            step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Inherits(heirs.contains(group))));
        }
        if heirs.is_empty() {
            self.moving_until = None;
        }
    }

    /// What `former` has on interfaces and will not have any more, as far as another group of this node has it by the rules; and which.
    fn inheritances(&self, former: &VipName) -> BTreeMap<Placement, VipName> {
        let Some(state) = self.groups_here.get(former) else { return BTreeMap::new() };
        let is_its_own = |place: &Placement| self.wants(former) && state.is_of_the_rules(place);
        let heir = |place: &Placement| {
            let has =
                |(name, state): &(&VipName, &GroupState)| *name != former && self.wants(name) && state.is_of_the_rules(place);
            self.groups_here.iter().find(has).map(|(name, _)| name.clone())
        };
        let leaving = state.placed().iter().filter(|place| !is_its_own(place));
        leaving.filter_map(|place| Some((place.clone(), heir(place)?))).collect()
    }

    /// Looks through the acts from the one at `from` on: what is on interfaces for other groups is not taken off, and removals are measured.
    pub(super) fn see_to_acts(&mut self, from: usize, step: &mut Step) {
        for act in step.acts.iter_mut().skip(from) {
            self.spare_others(act);
            self.note_removal(act, step.at.now);
        }
    }

    /// The other groups see to it themselves from now on.
    fn spare_others(&mut self, act: &mut Effect) {
        let (group, leaving) = match act {
            Effect::Remove { group, places, .. } => (group, places),
            Effect::Install { group, stale, .. } if !stale.is_empty() => (group, stale),
            Effect::Install { .. }
            | Effect::Send { .. }
            | Effect::Extend { .. }
            | Effect::Announce { .. }
            | Effect::Probe { .. } => return,
        };
        for (_, other) in self.groups_here.iter_mut().filter(|(name, _)| *name != group) {
            let before = leaving.len();
            leaving.retain(|place| !other.stays(place));
            if leaving.len() < before {
                other.refresh_soon();
            }
        }
    }

    /// These are off the interface: the voters are told, and candidates of the groups that have them by now.
    pub(super) fn have_gone(&mut self, group: &VipName, gone: &BTreeSet<Placement>, step: &mut Step) {
        let Some(state) = self.groups_here.get(group) else { return };
        if gone.is_empty() {
            return;
        }
        step.queue.push_back(Work::Holder(group.clone(), HolderEvent::Addresses(state.asked_for())));
        let gone: BTreeSet<IpAddr> = gone.iter().map(|(_, address)| *address).collect();
        let others = self.orders.iter().filter(|(name, order)| *name != group && !order.group.addresses.is_disjoint(&gone));
        self.passed_on.extend(others.map(|(name, _)| name.clone()));
    }

    /// Tells the other candidates of groups that they may have addresses which were here until now.
    pub(super) fn pass_on(&mut self, step: &mut Step) {
        for group in std::mem::take(&mut self.passed_on) {
            let Some(order) = self.orders.get(&group) else { continue };
            for to in order.candidates.iter().filter(|node| **node != self.me) {
                step.post(self.me, &self.addresses, *to, LeaseMessage::HandOver { group: group.clone(), first: None });
            }
        }
    }
}

/// Whether a group that has just been told of may be held here, as far as one can say: another node that holds it lets go of nothing because of this one.
fn may_come_to_hold(state: &GroupState) -> bool {
    match state.state() {
        HolderState::Asking => !state.is_elsewhere(),
        HolderState::Holding { .. } | HolderState::Removing => true,
        HolderState::Idle | HolderState::Retired => false,
    }
}
