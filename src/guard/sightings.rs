//! What this node sees on its own interfaces: which groups have a link that carries them, which VIPs are where they should not be, and which are gone
//! from where they should be. Pure.

use super::{
    links::{Links, Unusable},
    placement::Placement,
    protocol::GroupOrder,
    strays::{Stray, Strays},
};
use crate::{
    clock::BootInstant,
    kernel::io::{
        address::LOOPBACK,
        changes::{Change, LinkState},
    },
    model::{NodeId, Obstacles, VipName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

/// A VIP that somebody else takes off again and again is put back with this pause.
const PUT_BACK_EVERY: Duration = Duration::from_millis(50);
/// Lines for `status`; the log has all.
const MOST_PROBLEMS: usize = 32;

/// What the leases have on interfaces.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Claims {
    /// Where a VIP may be because of them.
    pub ours: BTreeSet<Placement>,
    /// Where the VIPs of each group are that is held, and is neither being put on nor taken off.
    pub held: BTreeMap<VipName, BTreeSet<Placement>>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Judgement {
    /// Which groups this node cannot hold because of their interface, and why.
    pub barred: Obstacles,
    /// Groups whose addresses are to be put on again and announced.
    pub disturbed: Vec<VipName>,
    /// To be taken off, each answered with [`Sightings::taken_off`].
    pub strays: Vec<Stray>,
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Sightings {
    /// This node's own address, which is never taken off.
    own: IpAddr,
    links: Links,
    addresses: BTreeSet<(u32, IpAddr, u8)>,
    /// Something is not as it was at the last judgement.
    changed: bool,
    /// The addresses of every group of the rules.
    groups: BTreeMap<IpAddr, VipName>,
    /// The interfaces of the groups that this node may hold.
    mine: BTreeMap<VipName, String>,
    barred: BTreeMap<VipName, Unusable>,
    /// Interfaces that have been down since the last judgement.
    flapped: BTreeSet<u32>,
    /// When a group was put back.
    put_back: BTreeMap<VipName, BootInstant>,
    /// A group's addresses are gone, and it is to be put back then.
    next_put_back: Option<BootInstant>,
    strays: Strays,
}

impl Sightings {
    /// `own`: this node's own address.
    pub fn new(own: IpAddr) -> Self {
        Self {
            own,
            links: Links::default(),
            addresses: BTreeSet::new(),
            changed: true,
            groups: BTreeMap::new(),
            mine: BTreeMap::new(),
            barred: BTreeMap::new(),
            flapped: BTreeSet::new(),
            put_back: BTreeMap::new(),
            next_put_back: None,
            strays: Strays::default(),
        }
    }

    /// All that there is, interfaces first. `first`: nobody has looked before, so that what is up may have been so for long.
    pub fn list(&mut self, changes: Vec<Change>, first: bool, now: BootInstant) {
        self.addresses.clear();
        self.changed = true;
        let index = |change: &Change| match change {
            Change::Link { index, .. } => Some(*index),
            Change::LinkGone { .. } | Change::Address { .. } => None,
        };
        self.links.retain(&changes.iter().filter_map(index).collect());
        for change in changes {
            self.take(change, !first, now);
        }
    }

    /// A change. Returns whether it is understood: if not, everything is to be listed anew.
    pub fn change(&mut self, change: Change, now: BootInstant) -> bool {
        let known = match &change {
            Change::Address { index, gone, .. } => *gone || self.links.name(*index).is_some(),
            Change::Link { .. } | Change::LinkGone { .. } => true,
        };
        self.take(change, true, now);
        known
    }

    fn take(&mut self, change: Change, watched: bool, now: BootInstant) {
        match change {
            Change::Link { index, name, other_names, state } => {
                self.changed = true;
                if self.links.set(index, (name, other_names), state, watched, now) {
                    self.flapped.insert(index);
                }
            }
            Change::LinkGone { index } => {
                self.changed = true;
                self.links.remove(index);
                self.addresses.retain(|(on, ..)| *on != index);
            }
            Change::Address { index, address, prefix, gone: false } => {
                self.changed |= self.addresses.insert((index, address, prefix));
            }
            Change::Address { index, address, prefix, gone: true } => {
                self.changed |= self.addresses.remove(&(index, address, prefix));
            }
        }
    }

    /// The rules: every group. `me` is this node.
    pub fn set_groups(&mut self, orders: &[GroupOrder], me: NodeId) {
        self.changed = true;
        let addresses = |order: &GroupOrder| {
            order.group.addresses.iter().map(|address| (*address, order.group.name.clone())).collect::<Vec<_>>()
        };
        self.groups = orders.iter().flat_map(addresses).collect();
        let mine = orders.iter().filter(|order| order.candidates.contains(&me));
        self.mine = mine.map(|order| (order.group.name.clone(), order.group.interface.clone())).collect();
    }

    /// Whether [`Sightings::judge`] may have something to say that it has not said. What the leases do to addresses comes back as a change.
    pub fn has_news(&self, now: BootInstant) -> bool {
        self.changed || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// What is to be done now. Call it only when every change so far has been taken, or what the leases have just done looks like somebody else's doing.
    pub fn judge(&mut self, claims: &Claims, now: BootInstant) -> Judgement {
        self.changed = false;
        let before = self.barred.clone();
        let unusable = |(group, interface): (&VipName, &String)| {
            let was = claims.held.contains_key(group) && !before.contains_key(group);
            Some((group.clone(), self.links.usable(interface, was, now).err()?))
        };
        self.barred = self.mine.iter().filter_map(unusable).collect();
        let disturbed = self.disturbed(claims, now);
        let found = self.found(&claims.ours);
        Judgement { barred: self.obstacles(), disturbed, strays: self.strays.are(&found, now) }
    }

    /// Groups that are held, and are not where they are held, or whose interface was down too shortly to be seen: neighbours and switches may have
    /// forgotten them.
    fn disturbed(&mut self, claims: &Claims, now: BootInstant) -> Vec<VipName> {
        let flapped = std::mem::take(&mut self.flapped);
        self.put_back.retain(|group, _| claims.held.contains_key(group));
        self.next_put_back = None;
        let mut disturbed = Vec::new();
        for (group, places) in claims.held.iter().filter(|(group, _)| !self.barred.contains_key(*group)) {
            let is_disturbed = |(interface, address): &Placement| {
                let host_prefix = if address.is_ipv4() { 32 } else { 128 };
                self.links
                    .index(interface)
                    .is_some_and(|index| flapped.contains(&index) || !self.addresses.contains(&(index, *address, host_prefix)))
            };
            if !places.iter().any(is_disturbed) {
                continue;
            }
            match self.put_back.get(group).map(|last| *last + PUT_BACK_EVERY).filter(|next| now < *next) {
                Some(next) => self.next_put_back = self.next_put_back.into_iter().chain([next]).min(),
                None => {
                    self.put_back.insert(group.clone(), now);
                    disturbed.push(group.clone());
                }
            }
        }
        disturbed
    }

    /// VIPs on interfaces where the leases have not put them. `lo` is the real-server role's.
    fn found(&self, ours: &BTreeSet<Placement>) -> Vec<Stray> {
        let ours: BTreeSet<(u32, IpAddr)> =
            ours.iter().filter_map(|(interface, address)| Some((self.links.index(interface)?, *address))).collect();
        let found = self.addresses.iter().filter_map(|(index, address, _)| {
            let group = self.groups.get(address)?.clone();
            let interface = self.links.name(*index)?.to_owned();
            let is_stray = interface != LOOPBACK && *address != self.own && !ours.contains(&(*index, *address));
            is_stray.then_some(Stray { group, address: *address, interface })
        });
        found.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// One was taken off, or the kernel has refused that. Returns how often that was tried by now.
    pub fn taken_off(&mut self, stray: &Stray, result: Result<(), String>, now: BootInstant) -> u32 {
        self.strays.taken_off(stray, result, now)
    }

    /// When [`Sightings::judge`] is due even if nothing changes.
    pub fn deadline(&self) -> Option<BootInstant> {
        let settling = self.barred.iter().filter(|(_, why)| **why == Unusable::Settling);
        let steady = settling.filter_map(|(group, _)| self.links.steady_at(self.mine.get(group)?));
        steady.chain(self.strays.deadline()).chain(self.next_put_back).min()
    }

    /// One line for each thing that a person should look at.
    pub fn problems(&self) -> Vec<String> {
        let barred = self.barred.iter().filter_map(|(group, why)| {
            let interface = self.mine.get(group)?;
            // The worker tells of those that are not there.
            let why = Some(said(*why)).filter(|_| *why != Unusable::Absent)?;
            Some(format!("interface {interface} of this node {why}: VIP group {group} is left to other directors until it is up"))
        });
        barred.chain(self.strays.problems()).take(MOST_PROBLEMS).collect()
    }

    fn obstacles(&self) -> Obstacles {
        let why = |group: &VipName, why: &Unusable| {
            let interface = self.mine.get(group).map_or("", String::as_str);
            match why {
                Unusable::Absent => format!("no interface {interface}"),
                Unusable::Down(_) | Unusable::Settling => format!("its interface {interface} {}", said(*why)),
            }
        };
        self.barred.iter().map(|(group, reason)| (group.clone(), why(group, reason))).collect()
    }
}

fn said(why: Unusable) -> &'static str {
    match why {
        Unusable::Absent => "is not there",
        Unusable::Down(LinkState::SetDown) => "is set down",
        Unusable::Down(LinkState::NoCarrier) => "has no carrier",
        Unusable::Down(LinkState::NotOperational) => "is not in operation (see `operstate` of `ip link`)",
        Unusable::Down(LinkState::Up) | Unusable::Settling => "has been up for less than a second",
    }
}

#[cfg(test)]
mod tests;
