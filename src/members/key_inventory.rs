//! The key inventories of the members that are heard. Pure.

use crate::{
    gossip::{self, ClusterView},
    model::NodeName,
    rules::{ClusterState, rotation::KeyInventory},
};
use std::collections::BTreeMap;

/// The keys and CAs that each heard member says it has. A member that has not said it yet has none.
pub fn key_inventory(state: &ClusterState, view: &ClusterView) -> BTreeMap<NodeName, KeyInventory> {
    let live = view.nodes.iter().filter(|(name, node)| node.live && state.nodes.contains_key(*name));
    live.map(|(name, node)| {
        let holds = node.facts.as_ref().map(|facts| facts.holds.clone()).unwrap_or_default();
        let gossip::KeyInventory { keys, authorities, issuer, signs, .. } = holds;
        (name.clone(), KeyInventory { keys, authorities, issuer, signs })
    })
    .collect()
}
