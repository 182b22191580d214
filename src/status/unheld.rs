//! Why nobody holds a VIP group, and which director could not take one over: from what directors say of themselves. Pure.

use super::{Sources, warnings::warnings};
use crate::{
    api::status::VipStatus,
    model::{Holding, NodeName, Role, VipGroup, VipName},
    rules::{ClusterState, Warning},
};

/// Directors in one line, as many as stay readable.
const NAMED: usize = 8;

/// Why nobody holds it, in one line, every director by name.
pub(super) fn why(sources: &Sources<'_>, group: &VipGroup) -> String {
    let Sources { state, raft, .. } = sources;
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

fn is_heard(sources: &Sources<'_>, name: &NodeName) -> bool {
    sources.view.nodes.get(name).is_some_and(|node| node.live)
}

fn of_director(sources: &Sources<'_>, director: &NodeName, group: &VipGroup) -> String {
    let Some(node) = sources.view.nodes.get(director).filter(|node| node.live) else { return "not heard".to_owned() };
    match (node.holding.get(&group.name), node.obstacles.get(&group.name)) {
        (_, Some(why)) => why.clone(),
        (Some(Holding::Held { .. }), None) => "has just taken it".to_owned(),
        (Some(Holding::NotHeld), None) => "asks the voters for it".to_owned(),
        (None, None) => "has not said anything about it yet".to_owned(),
    }
}

fn cut(words: &[String], between: &str) -> String {
    let more = words.len().saturating_sub(NAMED);
    let shown = words[..words.len() - more].join(between);
    if more == 0 { shown } else { format!("{shown}{between}and {more} more") }
}

/// What is wrong with the groups in force although somebody holds them, one line each.
pub(super) fn risks(sources: &Sources<'_>, vips: &[VipStatus]) -> Vec<String> {
    let state: &ClusterState = sources.state;
    let held = |name: &VipName| vips.iter().any(|vip| vip.name == *name && vip.holder.is_some());
    let found = warnings(&state.rules, state, sources.view).into_iter();
    let of_groups = found.filter(|warning| match warning {
        // What this node lacks itself is said in other words.
        Warning::NoDirectorHasInterface { vip, directors, .. } | Warning::SomeDirectorsLackInterface { vip, directors, .. } => {
            held(vip) && directors.iter().any(|lacks| lacks.node != *sources.me)
        }
        Warning::VipIsAHostsAddress { .. } => true,
        // Only found by asking, when it is new.
        Warning::VipAnswers { .. } => false,
        Warning::ServerIsNoMember { .. } | Warning::ServerHasOtherRoles { .. } => false,
    });
    of_groups.map(|warning| warning.to_string()).collect()
}
