//! Decides whether and when this node's agent may be restarted, and when it is back. Pure.

use crate::{
    api::{
        Status, Version,
        status::{ClusterStatus, NodeStatus, VipStatus},
    },
    base::build::VERSION,
    model::{NodeName, Role},
};
use std::time::Duration;

/// A node that is not as it should be, and without which this node can be spared all the same, may be one that is being restarted: it is waited for
/// so long. A longer absence is taken for a lasting one.
pub(super) const SETTLES: Duration = Duration::from_secs(15);

/// Whether the other nodes can do without this one for a moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Spared {
    /// They can.
    Yes,
    /// Not yet: what is waited for.
    NotYet(Vec<String>),
    /// As the cluster is made, they never can: why.
    Never(String),
}

/// Whether the other nodes can do without this one. `watched`: for how long that has been asked.
pub(super) fn spared(status: &Status, watched: Duration) -> Spared {
    let Some(cluster) = &status.cluster else { return Spared::Yes };
    let me = &status.this;
    let others: Vec<&NodeStatus> = status.nodes.iter().filter(|node| node.name != *me).collect();
    let held: Vec<&VipStatus> = status.vips.iter().filter(|vip| vip.holder.as_ref() == Some(me)).collect();
    if let Some(vip) = held.first()
        && !others.iter().any(|node| node.roles.has(Role::Director))
    {
        return Spared::Never(format!("{me} holds VIP group {}, and no other node is a director that could take it", vip.name));
    }
    let needed = cluster.voters.len() / 2 + 1;
    let voters: Vec<&NodeName> = cluster.voters.iter().filter(|voter| *voter != me).collect();
    if !others.is_empty() && voters.len() < needed {
        return Spared::Never(format!("{me} is the only voter, and the cluster has no majority without it"));
    }
    let mut waits = Vec::new();
    let (heard, silent): (Vec<&NodeName>, Vec<&NodeName>) =
        voters.into_iter().partition(|voter| others.iter().any(|node| node.name == **voter && node.reachable));
    if !others.is_empty() && heard.len() < needed {
        let names: Vec<String> = silent.iter().map(ToString::to_string).collect();
        waits.push(format!("a majority of the voters without {me}: {} is not heard", names.join(", ")));
    }
    waits.extend(held.iter().filter_map(|vip| successor(vip, me, &others)));
    if waits.is_empty() && watched < SETTLES {
        waits.extend(unsettled(cluster, status, &others));
    }
    if waits.is_empty() { Spared::Yes } else { Spared::NotYet(waits) }
}

/// What is missed of another director that could take a VIP group of this node.
fn successor(vip: &VipStatus, me: &NodeName, others: &[&NodeStatus]) -> Option<String> {
    let found = match &vip.could_hold {
        Some(directors) => directors.iter().any(|director| director != me),
        // An older agent does not tell; it knows at least who is heard.
        None => others.iter().any(|node| node.roles.has(Role::Director) && node.reachable && !node.withdrawn),
    };
    let directors = others.iter().filter(|node| node.roles.has(Role::Director));
    let stands = |node: &&NodeStatus| match (node.reachable, node.withdrawn) {
        (false, _) => format!("{} is not heard", node.name),
        (true, true) => format!("{} is withdrawn", node.name),
        (true, false) => format!("{} is not ready", node.name),
    };
    let each: Vec<String> = directors.map(stands).collect();
    (!found).then(|| format!("another director that can take VIP group {}: {}", vip.name, each.join(", ")))
}

/// Other nodes that may be restarting right now.
fn unsettled(cluster: &ClusterStatus, status: &Status, others: &[&NodeStatus]) -> Vec<String> {
    let in_service = others.iter().filter(|node| !node.withdrawn);
    let nodes = in_service.clone().filter_map(|node| match node.reachable {
        false => Some(format!("{}, which is not heard", node.name)),
        true if node.revision < cluster.revision => Some(format!("{}, which does not have the rules yet", node.name)),
        true => None,
    });
    let directors = in_service.filter(|node| node.roles.has(Role::Director) && node.reachable);
    let unready = directors.filter_map(|node| {
        let lacks = |vip: &&VipStatus| {
            vip.holder.as_ref() != Some(&node.name) && vip.could_hold.as_ref().is_some_and(|could| !could.contains(&node.name))
        };
        let vip = status.vips.iter().find(lacks)?;
        Some(format!("{}, which cannot take VIP group {} now", node.name, vip.name))
    });
    nodes.chain(unready).collect()
}

/// Whether nodes of this program's build work together with those of the agent's.
///
/// # Errors
/// Why not, and what to do.
pub(super) fn may_mix(this: &Version, agent: &Version, status: &Status) -> Result<(), String> {
    if status.nodes.iter().all(|node| node.name == status.this) {
        return Ok(());
    }
    let (ours, theirs) = (&this.version, &agent.version);
    let why = match (&this.formats, &agent.formats) {
        (Some(this), Some(agent)) => match this.apart(agent) {
            same if same.is_empty() => return Ok(()),
            apart => format!("they differ in {}", apart.join(", ")),
        },
        (_, None) | (None, _) => "the agent that runs does not tell which formats it speaks".to_owned(),
    };
    Err(format!(
        "nodes of lvs-agent {ours} (this program) and {theirs} (the agent that runs here) cannot work together: {why}. Stop the agents of all nodes, install {ours} on all of them, and start them again; with --force this node goes on alone"
    ))
}

/// Whether the guard that runs can do with a worker of this program's build.
///
/// # Errors
/// Why not.
pub(super) fn worker_first(this: &Version, agent: &Version) -> Result<(), String> {
    match (&this.formats, &agent.formats) {
        (Some(this), Some(agent)) if this.guard_channel == agent.guard_channel => Ok(()),
        (Some(_), Some(_)) => Err("its guard speaks another version of the channel to its worker".to_owned()),
        (_, None) | (None, _) => Err("it does not tell which channel its guard speaks".to_owned()),
    }
}

/// What this node lacks that it had before its agent was restarted `waited` ago; `None`: it is back.
pub(super) fn not_back(before: &Status, now: &Status, waited: Duration) -> Option<String> {
    let had = before.cluster.as_ref()?;
    let Some(cluster) = &now.cluster else {
        let why = now.not_started.clone().unwrap_or_else(|| "its member has not started".to_owned());
        return Some(why);
    };
    let me = &now.this;
    let own = |status: &Status| status.nodes.iter().find(|node| node.name == *me).cloned();
    let Some(node) = own(now) else { return Some("the cluster's list of members has not reached it".to_owned()) };
    if had.quorum && !cluster.quorum {
        return Some("it hears of no quorum yet".to_owned());
    }
    let wanted = own(before).map_or(0, |node| node.revision).min(cluster.revision);
    if node.revision < wanted {
        return Some(format!("its kernel has revision {} of the rules, not yet {wanted}", node.revision));
    }
    // Another node may have gone meanwhile, which is not this node's doing.
    let heard = |status: &Status, name: &NodeName| status.nodes.iter().any(|node| node.name == *name && node.reachable);
    let unheard = now.nodes.iter().find(|node| !node.reachable && heard(before, &node.name));
    if let Some(node) = unheard.filter(|_| waited < SETTLES) {
        return Some(format!("it does not hear {} yet", node.name));
    }
    let lacks = |vip: &VipStatus| vip.missing.iter().find(|missing| missing.node == *me).cloned();
    let serves =
        |vip: &VipStatus| vip.could_hold.as_ref().is_none_or(|could| could.contains(me)) || vip.holder.as_ref() == Some(me);
    now.vips.iter().find_map(|vip| {
        let former = before.vips.iter().find(|former| former.name == vip.name)?;
        match lacks(vip).filter(|_| lacks(former).is_none()) {
            Some(missing) => Some(format!("VIP group {} is not in place on it: {}", vip.name, missing.why)),
            None => (serves(former) && !serves(vip) && node.roles.has(Role::Director))
                .then(|| format!("it is not ready to take VIP group {}", vip.name)),
        }
    })
}

/// What to do where a worker of this program does not come back.
pub(super) fn how_to_go_back(agent: &Version, last: &str, seconds: u32) -> String {
    let former = &agent.version;
    format!(
        "the new worker (lvs-agent {VERSION}) is not back within {seconds} s: {last}. The guard still runs {former}; it goes on holding its VIPs for 10 s without a worker that has the rules, then other directors take them. `journalctl -u lvs-agent` says more. To go back, install {former} again: the guard starts it by itself"
    )
}

#[cfg(test)]
mod tests;
