//! The rules of the simulated cluster: which groups there are, with which addresses and candidates. Revisions follow each other, and each node's guard hears
//! of them in order, at a time of its own.

use super::{
    TTL,
    dice::Dice,
    world::{Event, World},
};
use lvs_agent::{
    guard::{leases::LeaseEvent, placement::Placement, protocol::GroupOrder},
    kernel::fence::Packets,
    model::{NodeId, OnQuorumLoss, VipGroup, VipName},
};
use std::{collections::BTreeSet, net::IpAddr};

/// The interface of all groups.
const INTERFACE: &str = "eth0";
/// What groups are called.
const NAMES: [&str; 5] = ["web", "mail", "db", "www", "ldap"];
/// How many addresses a group may come to have, of those that are its own.
const POOL: u8 = 3;

/// All revisions.
#[derive(Clone, Debug)]
pub struct Rules {
    revisions: Vec<Vec<GroupOrder>>,
}

impl Rules {
    /// The first revision.
    pub fn new(first: Vec<GroupOrder>) -> Self {
        Self { revisions: vec![first] }
    }

    /// What a revision says.
    pub fn at(&self, revision: usize) -> &[GroupOrder] {
        &self.revisions[revision]
    }

    /// The number of the newest one.
    pub fn newest(&self) -> usize {
        self.revisions.len() - 1
    }

    /// Every address of the newest one.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.at(self.newest()).iter().flat_map(|order| &order.group.addresses).copied().collect()
    }

    fn add(&mut self, next: Vec<GroupOrder>) {
        self.revisions.push(next);
    }
}

/// One group with one address, for scripts.
pub fn one_group(candidates: &[usize]) -> Vec<GroupOrder> {
    vec![order(0, [address(0, 0)].into(), candidates)]
}

/// Up to three groups, with one or two addresses each.
pub fn some_groups(nodes: usize, dice: &mut Dice) -> Vec<GroupOrder> {
    let groups = dice.between(1, 3) as usize;
    (0..groups).map(|group| order(group, some_addresses(group, dice), &some_candidates(nodes, dice))).collect()
}

/// Where an address is put.
pub fn place(address: IpAddr) -> Placement {
    (INTERFACE.to_owned(), address)
}

fn order(group: usize, addresses: BTreeSet<IpAddr>, candidates: &[usize]) -> GroupOrder {
    let group =
        VipGroup { name: name(NAMES[group]), addresses, interface: INTERFACE.to_owned(), on_quorum_loss: OnQuorumLoss::Release };
    GroupOrder { group, candidates: candidates.iter().map(|node| NodeId(*node as u64)).collect(), packets: Packets::Stop }
}

fn name(of: &str) -> VipName {
    of.parse().expect("a legal name")
}

fn address(group: usize, host: u8) -> IpAddr {
    let group = u8::try_from(group).expect("few groups");
    IpAddr::from([192, 0, group, 10 + host])
}

fn some_addresses(group: usize, dice: &mut Dice) -> BTreeSet<IpAddr> {
    let mut hosts: Vec<u8> = (0..POOL).collect();
    dice.shuffle(&mut hosts);
    hosts.truncate(dice.between(1, 2) as usize);
    hosts.into_iter().map(|host| address(group, host)).collect()
}

fn some_candidates(nodes: usize, dice: &mut Dice) -> Vec<usize> {
    let mut candidates: Vec<usize> = (0..nodes).collect();
    dice.shuffle(&mut candidates);
    candidates.truncate(dice.between(2, 3) as usize);
    candidates
}

impl World {
    /// Somebody applies other rules.
    pub fn change_rules(&mut self) {
        let mut next = self.rules.at(self.rules.newest()).to_vec();
        let nodes = self.nodes.len();
        let moves = self.options.rule_changes && self.dice.chance(700);
        match self.dice.below(10) {
            _ if moves => move_addresses(&mut next, &mut self.dice),
            0..=4 => {
                if let Some(order) = one_of(&mut next, &mut self.dice) {
                    order.candidates =
                        some_candidates(nodes, &mut self.dice).into_iter().map(|node| NodeId(node as u64)).collect();
                }
            }
            5..=6 => {
                let group = self.dice.below(3) as usize;
                let fresh = some_addresses(group, &mut self.dice);
                let is_free = !next
                    .iter()
                    .any(|order| !order.group.addresses.is_disjoint(&fresh) && order.group.name != name(NAMES[group]));
                if let Some(order) = next.iter_mut().find(|order| order.group.name == name(NAMES[group]) && is_free) {
                    order.group.addresses = fresh;
                }
            }
            7 => {
                let gone = self.dice.below(next.len() as u64) as usize;
                if gone < next.len() {
                    next.remove(gone);
                }
            }
            _ => self.bring_back(&mut next),
        }
        self.apply_rules(next);
    }

    /// A group that was there before, or one more.
    fn bring_back(&mut self, next: &mut Vec<GroupOrder>) {
        let group = self.dice.below(3) as usize;
        let back = order(group, some_addresses(group, &mut self.dice), &some_candidates(self.nodes.len(), &mut self.dice));
        let is_free =
            |order: &GroupOrder| order.group.name != back.group.name && order.group.addresses.is_disjoint(&back.group.addresses);
        if next.iter().all(is_free) {
            next.push(back);
        }
    }

    /// A new revision, which each node hears of by and by.
    pub fn apply_rules(&mut self, next: Vec<GroupOrder>) {
        self.rules.add(next);
        let revision = self.rules.newest();
        let slowest = self.dice.pick(&[TTL / 30, TTL / 3, 3 * TTL, 10 * TTL]).unwrap_or(TTL);
        for node in 0..self.nodes.len() {
            let delay = self.dice.below(slowest);
            self.after(delay, Event::Rules(node, revision));
        }
    }

    /// Whoever has heard nothing for a while does so now.
    pub(super) fn hear_of_newest_rules(&mut self, node: usize) {
        let (delay, revision) = (self.dice.below(TTL), self.rules.newest());
        self.after(delay, Event::Rules(node, revision));
    }

    /// The worker of `node` hears of a revision, and tells its guard.
    pub(super) fn hear_rules(&mut self, node: usize, revision: usize) {
        if self.nodes[node].has_worker() && !self.deaf.contains(&node) && revision > self.nodes[node].revision {
            self.nodes[node].revision = revision;
            if self.dice.chance(50) {
                self.tell_rules_without_interface(node);
            } else {
                self.tell_rules(node);
            }
        }
    }

    /// The worker of `node` tells its guard the groups.
    pub fn tell_rules(&mut self, node: usize) {
        let orders = self.rules.at(self.nodes[node].revision).to_vec();
        self.input(node, LeaseEvent::Groups(orders));
    }

    /// The same, where an interface is missing: its own guard hears of a candidate less.
    fn tell_rules_without_interface(&mut self, node: usize) {
        let mut orders = self.rules.at(self.nodes[node].revision).to_vec();
        let me = self.nodes[node].id;
        let lacking = self.dice.below(orders.len() as u64) as usize;
        orders.iter_mut().skip(lacking).take(1).for_each(|order| order.candidates.retain(|candidate| *candidate != me));
        self.input(node, LeaseEvent::Groups(orders));
    }
}

fn one_of<'a>(orders: &'a mut [GroupOrder], dice: &mut Dice) -> Option<&'a mut GroupOrder> {
    let at = dice.below(orders.len() as u64) as usize;
    orders.get_mut(at)
}

/// Renames a group, splits one, or moves an address to another, which may take the last one from a group: then that one is gone.
fn move_addresses(orders: &mut Vec<GroupOrder>, dice: &mut Dice) {
    let free: Vec<VipName> =
        NAMES.iter().map(|free| name(free)).filter(|free| orders.iter().all(|order| order.group.name != *free)).collect();
    let fresh = free.get(dice.below(free.len() as u64) as usize).cloned();
    let kind = dice.below(3);
    let other = dice.below(orders.len() as u64) as usize;
    let Some(from) = one_of(orders, dice) else { return };
    let Some(moved) = from.group.addresses.first().copied() else { return };
    match (kind, fresh) {
        (0, Some(fresh)) => from.group.name = fresh,
        (1, Some(fresh)) if from.group.addresses.len() > 1 => {
            let mut split = from.clone();
            from.group.addresses.remove(&moved);
            (split.group.name, split.group.addresses) = (fresh, [moved].into());
            orders.push(split);
        }
        _ => {
            from.group.addresses.remove(&moved);
            orders[other].group.addresses.insert(moved);
            orders.retain(|order| !order.group.addresses.is_empty());
        }
    }
}
