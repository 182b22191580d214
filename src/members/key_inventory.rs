//! Which keys and CAs the members that are heard say that they have. Pure.

use crate::{
    gossip::{ClusterView, Holds},
    model::NodeName,
    rules::{ClusterState, rotation::KeyInventory},
};
use std::collections::BTreeMap;

/// What the members that are heard say they have. One that has said nothing yet has nothing.
pub fn held(state: &ClusterState, view: &ClusterView) -> BTreeMap<NodeName, KeyInventory> {
    let live = view.nodes.iter().filter(|(name, node)| node.live && state.nodes.contains_key(*name));
    live.map(|(name, node)| {
        let holds = node.facts.as_ref().map(|facts| facts.holds.clone()).unwrap_or_default();
        let Holds { keys, authorities, issuer, signs, .. } = holds;
        (name.clone(), KeyInventory { keys, authorities, issuer, signs })
    })
    .collect()
}
