//! Addresses that a group leaves to another one of this node: it keeps them until that one has them. Pure.

use super::{GroupState, Placement};
use std::{collections::BTreeSet, net::IpAddr};

impl GroupState {
    /// Another node holds it, as far as a majority of the voters says.
    pub fn is_elsewhere(&self) -> bool {
        self.holder.is_elsewhere()
    }

    /// The rules name it no more.
    pub fn leaves(&mut self) {
        self.is_leaving = true;
    }

    /// The addresses to ask for: those that it has by the rules, and those that it has on an interface still.
    pub fn asked_for(&self) -> BTreeSet<IpAddr> {
        let of_the_rules = self.order.group.addresses.iter().copied().filter(|_| !self.is_leaving);
        of_the_rules.chain(self.placed.iter().map(|(_, address)| *address)).collect()
    }

    /// Of what it has on interfaces, this is about to be another group's of this node.
    pub fn keep(&mut self, kept: BTreeSet<IpAddr>) {
        if self.kept != kept {
            self.kept = kept;
            self.look_for_stale();
        }
    }

    /// Another group of this node has these now. Returns whether it had any of them.
    pub fn cede(&mut self, places: &BTreeSet<Placement>) -> bool {
        let before = self.placed.len();
        self.placed.retain(|place| !places.contains(place));
        self.kept.retain(|address| !places.iter().any(|(_, ceded)| ceded == address));
        self.placed.len() < before
    }

    /// Whether it keeps something for another group.
    pub fn is_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether `place` is on an interface because of it, and is to stay there.
    pub fn stays(&self, place: &Placement) -> bool {
        (self.held.is_some() || self.installing.is_some()) && self.removing.is_none() && self.placed.contains(place)
    }

    /// Another group had what is this one's: its lifetime in the kernel is not what this one has set. The next renewal sets it.
    pub fn refresh_soon(&mut self) {
        self.lasts = None;
    }
}
