//! The addresses of a holder's group: those that it asks for, and those under its lease.

use super::{Holder, HolderEffect, HolderPhase};
use crate::{clock::BootInstant, vip::message::Round};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// See the file's first line.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Asked for, and the first round that asks for each since then. What an earlier round was granted for it does not count: the voters may have heard
    /// meanwhile that this node does not have it.
    wanted: BTreeMap<IpAddr, Round>,
    /// The same, as asks carry it.
    asked: Arc<BTreeSet<IpAddr>>,
    /// Those under the lease. Each is in every round that counts: a round is won only with all of them.
    leased: BTreeSet<IpAddr>,
}

impl Addresses {
    /// What is to be asked for from round `next` on. Returns whether that is another set than before.
    fn are(&mut self, wanted: &BTreeSet<IpAddr>, next: Round) -> bool {
        let before = self.wanted.len();
        self.wanted.retain(|address, _| wanted.contains(address));
        self.leased.retain(|address| wanted.contains(address));
        let mut changed = self.wanted.len() < before;
        for address in wanted {
            self.wanted.entry(*address).or_insert_with(|| {
                changed = true;
                next
            });
        }
        if changed {
            self.asked = Arc::new(wanted.clone());
        }
        changed
    }

    /// Nothing to ask for.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// To be asked for.
    pub fn wanted(&self) -> Arc<BTreeSet<IpAddr>> {
        Arc::clone(&self.asked)
    }

    /// Those under the lease.
    pub fn leased(&self) -> &BTreeSet<IpAddr> {
        &self.leased
    }

    /// Those of `won` for which `round` counts.
    pub fn counting(&self, won: impl Iterator<Item = IpAddr>, round: Round) -> BTreeSet<IpAddr> {
        won.filter(|address| self.wanted.get(address).is_some_and(|first| *first <= round)).collect()
    }

    /// Nothing that is wanted is lacking.
    pub fn are_all_leased(&self) -> bool {
        self.leased.len() == self.wanted.len()
    }

    /// These are under the lease now.
    pub fn lease(&mut self, addresses: BTreeSet<IpAddr>) {
        self.leased = addresses;
    }
}

impl Holder {
    /// The addresses under the lease, in [`HolderState::Holding`](super::HolderState::Holding): those that may be on the interface.
    pub fn leased(&self) -> &BTreeSet<IpAddr> {
        self.addresses.leased()
    }

    /// Whether a majority of the voters has refused the last round because each has promised the group, or addresses of it, to another node.
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere && matches!(self.phase, HolderPhase::Waiting { .. } | HolderPhase::Asking)
    }

    /// The voters are told at once.
    pub(super) fn addresses_are(&mut self, wanted: &BTreeSet<IpAddr>, now: BootInstant, effects: &mut Vec<HolderEffect>) {
        let changed = self.addresses.are(wanted, self.rounds.next());
        if changed && matches!(self.phase, HolderPhase::Holding { .. }) {
            self.renew(now, effects);
        }
    }

    /// Another group of this node has addresses of this one: it is this node's turn.
    pub(super) fn inherits(&mut self, inherits: bool, now: BootInstant) {
        let begins = inherits && !self.inherits;
        self.inherits = inherits;
        if let HolderPhase::Waiting { .. } = self.phase
            && begins
        {
            self.phase = HolderPhase::Waiting { retry_at: self.turn(self.rank.turn_of_an_heir(now)) };
        }
    }

    /// Another candidate has let go of what may be an address of this group: the next ask is due soon.
    pub(super) fn ask_for_what_is_missing(&mut self) {
        self.asks_soon = self.addresses.leased.len() < self.addresses.wanted.len();
    }
}
