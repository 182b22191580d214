//! Chooses the observers of a target: all directors, and other members by rendezvous hashing.

use super::stable_hash;
use crate::{
    model::{NodeName, NodeRecord, Role},
    rules::Target,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The fewest observers of a target: with three, one of them may be wrong.
const FEWEST: usize = 3;

/// The observers of a target whose server runs on the node `own` (if it has an agent).
///
/// All directors observe, also those that are not heard, whose silence counts against a decision. Other members make the number odd and at least
/// three. Live ones come first, in an order that differs from target to target (highest random weight), so that the death of a node moves only the
/// targets that it observed. If too few are alive, dead ones are counted in: the number of votes that are needed follows from the members alone,
/// so that a node that hears nobody is never a majority by itself. The server's own node does not observe it.
pub fn observers(
    own: Option<&NodeName>,
    nodes: &BTreeMap<NodeName, NodeRecord>,
    live: &BTreeSet<NodeName>,
    target: &Target,
) -> BTreeSet<NodeName> {
    let eligible = || nodes.values().filter(|node| Some(&node.name) != own);
    let mut observers: BTreeSet<NodeName> =
        eligible().filter(|node| node.roles.has(Role::Director)).map(|node| node.name.clone()).collect();
    let mut witnesses: Vec<&NodeName> = eligible().map(|node| &node.name).filter(|name| !observers.contains(*name)).collect();
    witnesses.sort_by_cached_key(|name| (!live.contains(*name), Reverse(weight(target, name)), (*name).clone()));
    let odd = observers.len().max(FEWEST) | 1;
    let wanted = odd - observers.len();
    observers.extend(witnesses.into_iter().take(wanted).cloned());
    observers
}

fn weight(target: &Target, node: &NodeName) -> u64 {
    stable_hash(format!("{target}\0{node}").as_bytes())
}
