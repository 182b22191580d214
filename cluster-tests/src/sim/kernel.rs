//! The addresses on the interface of one simulated node. The kernel counts their lifetimes in whole seconds, so an address may outlast the lease under
//! which its guard has put it on.

use super::Nanos;
use lvs_agent::{clock::BootInstant, model::VipName};
use std::{collections::BTreeMap, net::IpAddr};

/// An address on an interface.
#[derive(Clone, Debug)]
pub struct OnInterface {
    /// Which start of the guard has put it on.
    pub by: u64,
    /// For which group.
    pub group: VipName,
    /// The end of that group's lease by the node's clock, as its holder last said of this address.
    pub lease_until: BootInstant,
    /// The kernel takes it off then by itself.
    pub lasts: BootInstant,
    /// When the kernel last refused to take it off.
    pub refused_at: Option<BootInstant>,
}

impl OnInterface {
    /// Whether it is there under a lease that still runs by the node's clock.
    pub fn is_leased(&self, now: BootInstant) -> bool {
        now < self.lease_until && now < self.lasts
    }
}

/// One interface.
#[derive(Clone, Debug, Default)]
pub struct Kernel {
    /// What it takes for each address, beside what it takes for anything.
    pub pace: Nanos,
    addresses: BTreeMap<IpAddr, OnInterface>,
}

impl Kernel {
    /// Puts an address on, or refreshes it; says whether it was not there.
    pub fn put_on(&mut self, address: IpAddr, entry: OnInterface, now: BootInstant) -> bool {
        self.addresses.insert(address, entry).is_none_or(|before| before.lasts <= now)
    }

    /// Takes an address off.
    pub fn take_off(&mut self, address: &IpAddr) {
        self.addresses.remove(address);
    }

    /// The kernel refuses to take it off.
    pub fn refuse(&mut self, address: &IpAddr, now: BootInstant) {
        if let Some(entry) = self.addresses.get_mut(address) {
            entry.refused_at = Some(now);
        }
    }

    /// Takes all off.
    pub fn clear(&mut self) {
        self.addresses.clear();
    }

    /// What is there.
    pub fn addresses(&self, now: BootInstant) -> impl Iterator<Item = (&IpAddr, &OnInterface)> {
        self.addresses.iter().filter(move |(_, entry)| now < entry.lasts)
    }

    /// What is there, to be changed.
    pub fn addresses_mut(&mut self) -> impl Iterator<Item = (&IpAddr, &mut OnInterface)> {
        self.addresses.iter_mut()
    }

    /// One of the addresses, if it is there.
    pub fn get(&self, address: &IpAddr, now: BootInstant) -> Option<&OnInterface> {
        self.addresses.get(address).filter(|entry| now < entry.lasts)
    }
}
