//! What one task needs to know, made from what the others know. Pure joins of the replicated state and the gossip view.

use crate::{
    gossip::{ClusterView, Holds},
    guard::protocol::GroupOrder,
    model::{NodeId, NodeName, PublicKey, Role, node::guard_addr},
    reconcile::InPlace,
    rules::{ClusterState, rotation::Held, security::Speakers},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// Every VIP group with the directors that may hold it, best first. Groups begin at different directors, so that several VIPs spread.
///
/// `interface` is this node's own word on where VIPs go, where its configuration has one.
pub fn guard_orders(state: &ClusterState, interface: Option<&str>) -> Vec<GroupOrder> {
    let mut directors: Vec<(NodeId, &NodeName)> =
        state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| (node.id, &node.name)).collect();
    directors.sort_by_key(|(_, name)| *name);
    let candidates: Vec<NodeId> = directors.into_iter().map(|(id, _)| id).collect();
    let groups = state.rules.vips.values().enumerate();
    groups
        .map(|(position, group)| {
            let mut candidates = candidates.clone();
            let first = position.checked_rem(candidates.len()).unwrap_or(0);
            candidates.rotate_left(first);
            let mut group = group.clone();
            if let Some(interface) = interface {
                group.interface = interface.to_owned();
            }
            GroupOrder { group, candidates }
        })
        .collect()
}

/// What the members that are heard say they have. One that has said nothing yet has nothing.
pub fn held(state: &ClusterState, view: &ClusterView) -> BTreeMap<NodeName, Held> {
    let live = view.nodes.iter().filter(|(name, node)| node.live && state.nodes.contains_key(*name));
    live.map(|(name, node)| {
        let holds = node.facts.as_ref().map(|facts| facts.holds.clone()).unwrap_or_default();
        let Holds { keys, authorities, issuer, signs, .. } = holds;
        (name.clone(), Held { keys, authorities, issuer, signs })
    })
    .collect()
}

/// Who may speak, and with which keys.
pub fn speakers(state: &ClusterState) -> Speakers {
    let members = state.nodes.values().map(|node| (node.id, (node.addr, node.key)));
    let names = state.nodes.values().map(|node| (node.name.clone(), node.id));
    Speakers { keyring: state.security.keyring.clone(), members: members.collect(), names: names.collect() }
}

/// The same for guards: they speak from another port.
pub fn guards(speakers: &Speakers) -> BTreeMap<NodeId, (SocketAddr, PublicKey)> {
    speakers.members.iter().map(|(id, (addr, key))| (*id, (guard_addr(*addr), *key))).collect()
}

/// Where to find the cluster: the configured seeds and every other member.
pub fn gossip_seeds(state: &ClusterState, me: &NodeName, configured: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let members = state.nodes.values().filter(|node| node.name != *me).map(|node| node.addr);
    configured.iter().copied().chain(members).collect()
}

/// What each node's agent says of its VIPs.
pub fn in_place(view: &ClusterView) -> BTreeMap<NodeName, InPlace> {
    view.nodes.iter().map(|(name, node)| (name.clone(), node.in_place.clone())).collect()
}

#[cfg(test)]
mod tests;
