//! Explains why no node holds a VIP group, and which directors could take one over and which could not, from what directors gossip. Pure.

use super::{StatusInput, warnings::warnings};
use crate::{
    api::status::VipStatus,
    model::{Holding, NodeName, Role, VipGroup, VipName},
    rules::{ClusterState, Warning},
};

/// Directors in one line, as many as stay readable.
const NAMED: usize = 8;

/// Why no node holds the group, in one line, with every director by name.
pub(super) fn why(sources: &StatusInput<'_>, group: &VipGroup) -> String {
    let StatusInput { state, raft, .. } = sources;
    let directors: Vec<&NodeName> =
        state.nodes.values().filter(|node| node.roles.has(Role::Director)).map(|node| &node.name).collect();
    if directors.is_empty() {
        return "no node has the role director".to_owned();
    }
    let silent = raft.voters.iter().filter_map(|id| state.node_by_id(*id)).filter(|node| !is_heard(sources, &node.name));
    let silent: Vec<String> = silent.map(|node| node.name.to_string()).collect();
    let no_majority = !raft.voters.is_empty() && silent.len() * 2 >= raft.voters.len();
    let voters = no_majority.then(|| format!("no majority of the voters is heard ({} not)", cut(&silent, ", ")));
    let each: Vec<String> =
        directors.iter().map(|director| format!("{director}: {}", of_director(sources, director, group))).collect();
    voters.into_iter().chain([cut(&each, "; ")]).collect::<Vec<_>>().join("; ")
}

/// The directors that could take the group now.
pub(super) fn could_hold(sources: &StatusInput<'_>, group: &VipGroup) -> Vec<NodeName> {
    let could = |name: &NodeName| {
        sources.view.nodes.get(name).is_some_and(|node| {
            let in_service = node.live && node.facts.as_ref().is_some_and(|facts| !facts.withdrawn);
            // One that has just started has not said anything of the group yet.
            let free = matches!(node.holding.get(&group.name), Some(Holding::NotHeld));
            in_service && free && !node.obstacles.contains_key(&group.name)
        })
    };
    let directors = sources.state.nodes.values().filter(|node| node.roles.has(Role::Director));
    directors.map(|node| &node.name).filter(|name| could(name)).cloned().collect()
}

fn is_heard(sources: &StatusInput<'_>, name: &NodeName) -> bool {
    sources.view.nodes.get(name).is_some_and(|node| node.live)
}

fn of_director(sources: &StatusInput<'_>, director: &NodeName, group: &VipGroup) -> String {
    let Some(node) = sources.view.nodes.get(director).filter(|node| node.live) else { return "not heard".to_owned() };
    match (node.holding.get(&group.name), node.obstacles.get(&group.name)) {
        (_, Some(why)) => why.clone(),
        (Some(Holding::Held { .. } | Holding::Fallback { .. }), None) => "has just taken it".to_owned(),
        (Some(Holding::NotHeld), None) => "asks the voters for it".to_owned(),
        (None, None) => "has not said anything about it yet".to_owned(),
    }
}

fn cut(words: &[String], between: &str) -> String {
    let more = words.len().saturating_sub(NAMED);
    let shown = words[..words.len() - more].join(between);
    if more == 0 { shown } else { format!("{shown}{between}and {more} more") }
}

/// The faults of groups that are held, one line each.
pub(super) fn risks(sources: &StatusInput<'_>, vips: &[VipStatus]) -> Vec<String> {
    let state: &ClusterState = sources.state;
    let held = |name: &VipName| vips.iter().any(|vip| vip.name == *name && vip.holder.is_some());
    let found = warnings(&state.rules, state, sources.view).into_iter();
    let of_groups = found.filter(|warning| match warning {
        // The faults of this node itself are reported with a text of their own.
        Warning::NoDirectorHasInterface { vip, directors, .. } | Warning::SomeDirectorsLackInterface { vip, directors, .. } => {
            held(vip) && directors.iter().any(|lacks| lacks.node != *sources.me)
        }
        Warning::VipIsAHostsAddress { .. } => true,
        // A new VIP group's fault is found only when a director asks for the lease.
        Warning::VipAnswers { .. } => false,
        Warning::ServerIsNoMember { .. } | Warning::ServerHasOtherRoles { .. } => false,
    });
    of_groups.map(|warning| warning.to_string()).collect()
}
