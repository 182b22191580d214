//! Who votes on a target: every director that may forward to it, and witnesses by rendezvous hashing.

use super::stable_hash;
use crate::{
    model::{NodeName, NodeRecord, Role},
    rules::Target,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// The fewest observers of a target, so that one of them may be wrong.
const FEWEST: usize = 3;

/// The observers of a target whose server runs on the node `own` (if it has an agent).
///
/// All directors observe, dead ones too: that they are silent must count against a decision. Witnesses fill up to an odd number of at
/// least three, the live ones first, each target's in an order of its own (highest random weight), so that a node's death moves only the
/// targets it witnessed. Where live nodes are too few, dead ones are counted in: how many votes are needed follows from the membership
/// alone, and a node that hears nobody is never a majority of itself. The server's own node has no vote.
pub fn observers(
    own: Option<&NodeName>,
    nodes: &BTreeMap<NodeName, NodeRecord>,
    live: &BTreeSet<NodeName>,
    target: &Target,
) -> BTreeSet<NodeName> {
    let able = || nodes.values().filter(|node| Some(&node.name) != own);
    let mut electors: BTreeSet<NodeName> =
        able().filter(|node| node.roles.has(Role::Director)).map(|node| node.name.clone()).collect();
    let mut witnesses: Vec<&NodeName> = able().map(|node| &node.name).filter(|name| !electors.contains(*name)).collect();
    witnesses.sort_by_cached_key(|name| (!live.contains(*name), Reverse(weight(target, name)), (*name).clone()));
    let odd = electors.len().max(FEWEST) | 1;
    let wanted = odd - electors.len();
    electors.extend(witnesses.into_iter().take(wanted).cloned());
    electors
}

fn weight(target: &Target, node: &NodeName) -> u64 {
    stable_hash(format!("{target}\0{node}").as_bytes())
}
