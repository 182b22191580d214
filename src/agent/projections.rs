//! What one task needs to know, made from what the others know. Pure joins of the replicated state and the gossip view.

use crate::{
    config::AgentConfig,
    gossip::{ClusterView, Facts, NodeState, NodeView},
    guard::protocol::GroupOrder,
    kernel::fence::Packets,
    model::{Fitness, NodeId, NodeName, Obstacles, PublicKey, Role, VipGroup, VipName, node::guard_addr},
    reconcile::{ReconcileReport, VipsReady},
    rules::{ClusterState, security::PeerKeys},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

/// Why a node that an administrator has withdrawn takes neither traffic nor VIPs.
const WITHDRAWN: &str = "withdrawn by an administrator";

/// The interface that each VIP group goes on, on this node. The cluster's word counts, translated where agent.toml does so: `[interfaces]` one by
/// one, `interface` as long as it can only mean one, because all groups are on the same.
pub fn interfaces(state: &ClusterState, config: &AgentConfig) -> BTreeMap<VipName, String> {
    let default = config.interface.as_ref().filter(|_| networks(state).len() == 1);
    let groups = state.rules.vips.values();
    let here = |group: &VipGroup| config.interfaces.get(&group.interface).or(default).unwrap_or(&group.interface).clone();
    groups.map(|group| (group.name.clone(), here(group))).collect()
}

/// The interfaces that the rules name.
fn networks(state: &ClusterState) -> BTreeSet<&String> {
    state.rules.vips.values().map(|group| &group.interface).collect()
}

/// That `interface` in agent.toml means nothing here, where it does not.
pub fn unused_interface(state: &ClusterState, config: &AgentConfig) -> Option<String> {
    let interface = config.interface.as_ref()?;
    let unmapped: Vec<&str> =
        networks(state).into_iter().filter(|named| !config.interfaces.contains_key(*named)).map(String::as_str).collect();
    let is_ambiguous = networks(state).len() > 1 && unmapped.iter().any(|named| named != interface);
    is_ambiguous.then(|| {
        format!(
            "`interface = \"{interface}\"` in agent.toml of {} is not used, because VIP groups are on several interfaces: say under [interfaces] what {} is called on this node",
            config.node,
            unmapped.join(" and what ")
        )
    })
}

/// Every VIP group with the directors that may hold it, best first. Groups begin at different directors, so that several VIPs spread.
///
/// `interfaces` are where groups go on this node. It does not stand for those whose interface is among the `absent` ones.
pub fn guard_orders(
    state: &ClusterState,
    me: &NodeName,
    interfaces: &BTreeMap<VipName, String>,
    absent: &BTreeSet<String>,
) -> Vec<GroupOrder> {
    let mut directors: Vec<(NodeId, &NodeName)> =
        state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| (node.id, &node.name)).collect();
    directors.sort_by_key(|(_, name)| *name);
    let candidates: Vec<NodeId> = directors.into_iter().map(|(id, _)| id).collect();
    let own = state.nodes.get(me).map(|node| node.id);
    let groups = state.rules.vips.values().enumerate();
    groups
        .map(|(position, group)| {
            let mut candidates = candidates.clone();
            let first = position.checked_rem(candidates.len()).unwrap_or(0);
            candidates.rotate_left(first);
            let mut group = group.clone();
            if let Some(interface) = interfaces.get(&group.name) {
                group.interface.clone_from(interface);
            }
            if absent.contains(&group.interface) {
                candidates.retain(|id| Some(*id) != own);
            }
            let packets = packets(state, me, &group.name);
            GroupOrder { group, candidates, packets }
        })
        .collect()
}

/// What becomes of packets for a group's VIPs where a director's lease has ended with its guard: it may be a real server of the group, or forward for others.
fn packets(state: &ClusterState, me: &NodeName, group: &VipName) -> Packets {
    let own = state.nodes.get(me).filter(|node| node.roles.has(Role::RealServer)).map(|node| node.addr.ip());
    let mut services = state.rules.services.values().filter(|service| service.vip == *group).peekable();
    let is_forwarded = services.peek().is_some();
    match services.flat_map(|service| service.servers.values()).any(|server| Some(server.address) == own) {
        true => Packets::Take,
        false if is_forwarded => Packets::Linger,
        false => Packets::Stop,
    }
}

/// What keeps this director from taking groups: that their interface is `absent`, what became of its guard's attempts, or what makes it `unready`.
pub fn obstacles(groups: &[GroupOrder], absent: &BTreeSet<String>, refused: Obstacles, unready: Option<String>) -> Obstacles {
    let lacking = groups.iter().map(|order| &order.group).filter(|group| absent.contains(&group.interface));
    let lacking = lacking.map(|group| (group.name.clone(), format!("no interface {}", group.interface)));
    let unready = unready.iter().flat_map(|why| groups.iter().map(|order| (order.group.name.clone(), why.clone())));
    // Later ones replace earlier ones: what is nearest to the cause counts.
    unready.chain(refused).chain(lacking).collect()
}

/// Why a director whose guard was told `ready` is not ready, in words; none where it is.
pub fn unready(ready: Option<bool>, report: &ReconcileReport) -> Option<String> {
    if ready == Some(true) {
        return None;
    }
    Some(match &report.error {
        _ if report.ready => "it knows of no server whether it takes traffic".to_owned(),
        Some(trouble) => format!("its kernel is not as the rules want it: {trouble}"),
        None => "its kernel does not have the rules yet".to_owned(),
    })
}

/// What a node says of itself while an administrator has it out of service: no VIP is in place, it takes none, and it knows of no server.
pub fn withdrawn(word: NodeState, state: &ClusterState, config: &AgentConfig) -> NodeState {
    let own = config.address.ip();
    let services = state.rules.services.values();
    let served = services.filter(|service| service.servers.values().any(|server| server.address == own));
    let served = served.map(|service| service.vip.clone()).chain(word.in_place.keys().cloned());
    let directs = word.facts.roles.has(Role::Director);
    let groups = state.rules.vips.keys().filter(|_| directs);
    NodeState {
        in_place: served.map(|vip| (vip, Err(WITHDRAWN.to_owned()))).collect(),
        obstacles: groups.map(|vip| (vip.clone(), WITHDRAWN.to_owned())).collect(),
        informed: false,
        facts: Facts { withdrawn: true, ..word.facts.clone() },
        ..word
    }
}

/// That nobody takes the VIPs of this director, where no other one is heard that is in service.
pub fn undirected(state: &ClusterState, view: &ClusterView, me: &NodeName) -> Option<String> {
    let directs = |name: &NodeName| state.nodes.get(name).is_some_and(|node| node.roles.has(Role::Director));
    let serves = |node: &NodeView| node.live && !node.facts.as_ref().is_some_and(|facts| facts.withdrawn);
    let others = view.nodes.iter().any(|(name, node)| name != me && directs(name) && serves(node));
    (directs(me) && !others && !state.rules.vips.is_empty()).then(|| {
        format!("{me} was the last director in service that is heard: nobody holds the VIPs until another one is back, or {me} is restarted")
    })
}

/// Who may speak, and with which keys.
pub fn speakers(state: &ClusterState) -> PeerKeys {
    let members = state.nodes.values().map(|node| (node.id, (node.addr, node.key)));
    let names = state.nodes.values().map(|node| (node.name.clone(), node.id));
    PeerKeys { keyring: state.security.keyring.clone(), members: members.collect(), names: names.collect() }
}

/// The same for guards: they speak from another port.
pub fn guards(speakers: &PeerKeys) -> BTreeMap<NodeId, (SocketAddr, PublicKey)> {
    speakers.members.iter().map(|(id, (addr, key))| (*id, (guard_addr(*addr), *key))).collect()
}

/// Whether another director that is heard knows of some server whether it takes traffic.
pub fn informed_directors(state: &ClusterState, view: &ClusterView, me: &NodeName) -> bool {
    let directs = |name: &NodeName| state.nodes.get(name).is_some_and(|node| node.roles.has(Role::Director));
    view.nodes.iter().any(|(name, node)| name != me && node.live && node.informed && directs(name))
}

/// Whether another director could take the group now that is fitter for it than this.
pub fn fitter_director(state: &ClusterState, view: &ClusterView, me: &NodeName, group: &VipName, fitness: Fitness) -> bool {
    let directs = |name: &NodeName| state.nodes.get(name).is_some_and(|node| node.roles.has(Role::Director));
    view.nodes.iter().filter(|(name, node)| *name != me && node.live && directs(name)).any(|(_, node)| {
        let in_service = node.facts.as_ref().is_some_and(|facts| !facts.withdrawn);
        let of_node = node.less_fit.get(group).map_or(Fitness::WELL, |less| less.fitness);
        // One that has just started has not said anything of the group yet.
        in_service && node.holding.contains_key(group) && !node.obstacles.contains_key(group) && of_node > fitness
    })
}

/// What the guard is told of readiness, if anything: `in_kernel` where the rules are or not. `waited`: nothing is known of any server, and whether it has
/// been so for long. Such a director would answer for a VIP and send nobody anywhere, so it leaves that to one that knows more (`others_know`). If
/// there is none, all are as good as it is.
pub fn readiness(in_kernel: bool, waited: Option<bool>, others_know: bool) -> Option<bool> {
    match waited {
        None => Some(in_kernel),
        // What it was stands: news may be under way.
        Some(false) => None,
        Some(true) => Some(in_kernel && !others_know),
    }
}

/// What each node's agent says of its VIPs.
pub fn in_place(view: &ClusterView) -> BTreeMap<NodeName, VipsReady> {
    view.nodes.iter().map(|(name, node)| (name.clone(), node.in_place.clone())).collect()
}

#[cfg(test)]
mod tests;
