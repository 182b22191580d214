//! Builds the answer to `GET /v1/status` from everything the worker knows. Pure.

mod fallback;
mod less_fit;
mod unheld;
pub mod warnings;

use crate::{
    api::status::{
        ClusterStatus, LocalView, MissingVip, NodeStatus, ObservationStatus, Pool, SecurityStatus, ServerStatus, ServiceStatus,
        Status, VerdictStatus, VipMode, VipStatus, VoteStatus,
    },
    gossip::{ClusterView, NodeView},
    members::{key_inventory::key_inventory, removal_check::RemovalCheck},
    model::{Fingerprint, Holding, NodeId, NodeName, RealServer, Role, Roles, Service, VipGroup},
    raft::RaftView,
    reconcile::{Decision, ReconcileReport},
    rules::{ClusterState, Security, Target, Verdict, rotation::RotationStage},
    verdict::{self, Ballot, Observation, ObserverReports, TargetObservers},
};
use std::{collections::BTreeMap, time::Duration};

/// A certificate lasts 30 days and is renewed after 20.
const ENDS_SOON: Duration = Duration::from_secs(5 * 86_400);

/// Names of nodes that hold a rotation up, as many as stay readable.
const AWAITED_SHOWN: usize = 8;

/// The input of a status.
pub struct StatusInput<'a> {
    /// The node whose status it is.
    pub me: &'a NodeName,
    /// The replicated state.
    pub state: &'a ClusterState,
    /// The cluster view of gossip.
    pub view: &'a ClusterView,
    /// The view of this node's Raft.
    pub raft: &'a RaftView,
    /// The last result of reconciling.
    pub report: &'a ReconcileReport,
    /// What this node's probes see.
    pub own: &'a BTreeMap<Target, Observation>,
    /// Why each member votes or does not.
    pub voters_why: &'a BTreeMap<NodeName, String>,
    /// The roles in this node's agent.toml.
    pub configured: &'a Roles,
    /// The parts of this node's agent.toml and interfaces that do not fit the rules, and what its guard sees on these interfaces.
    pub interfaces: &'a [String],
    /// The failures of this node's certificate renewal.
    pub troubles: &'a [String],
    /// Time now, for ages.
    pub unix_now: Duration,
}

/// What the servers' status is made from, worked out once for all of them.
struct Votes<'a> {
    heard: ObserverReports<'a>,
    observers: TargetObservers,
    decisions: BTreeMap<&'a Target, &'a Decision>,
}

/// The status of a member.
pub fn status(sources: &StatusInput<'_>) -> Status {
    let state = sources.state;
    let votes = Votes {
        heard: sources.view.observer_reports(),
        observers: verdict::observers_of_targets(state, &sources.view.live()),
        decisions: sources.report.decisions.iter().map(|decision| (&decision.target, decision)).collect(),
    };
    let mut status = Status {
        cluster: Some(cluster(sources)),
        nodes: state.nodes.values().map(|node| node_status(sources, &node.name, node.id)).collect(),
        vips: state.rules.vips.values().map(|group| vip_status(sources, group)).collect(),
        services: state.rules.services.values().map(|service| service_status(sources, &votes, service)).collect(),
        foreign: sources.report.foreign.iter().map(ToString::to_string).collect(),
        ..Status::outside(sources.me.clone())
    };
    status.problems = problems(sources, &status);
    status
}

/// What a node that was withdrawn says of itself.
pub const WITHDRAWN_HERE: &str = "withdrawn: `systemctl restart lvs-agent` (or a reboot) puts it back in service";

/// That guard and worker of this node are of different versions.
pub fn other_guard(guard: &str, program: &str) -> Option<String> {
    (guard != program)
        .then(|| format!("the guard of this node runs version {guard}, the program is {program}: run `lvs-agent restart` here"))
}

fn name_of(state: &ClusterState, id: NodeId) -> Option<NodeName> {
    state.node_by_id(id).map(|node| node.name.clone())
}

fn cluster(sources: &StatusInput<'_>) -> ClusterStatus {
    let StatusInput { state, raft, .. } = sources;
    let mut voters: Vec<NodeName> = raft.voters.iter().filter_map(|id| name_of(state, *id)).collect();
    voters.sort();
    ClusterStatus {
        id: state.cluster_id.clone(),
        revision: state.revision,
        leader: raft.leader.and_then(|id| name_of(state, id)),
        term: raft.term,
        voters,
        quorum: raft.quorum,
        security: security(sources),
    }
}

/// The stage of a rotation, and the nodes that it waits for.
fn rotating(sources: &StatusInput<'_>) -> Option<String> {
    let stage = RotationStage::of(&sources.state.security)?;
    let live = key_inventory(sources.state, sources.view);
    let awaited: Vec<&NodeName> = stage.held_up_by(&live).collect();
    let shown: Vec<String> = awaited.iter().take(AWAITED_SHOWN).map(ToString::to_string).collect();
    Some(match awaited.len() - shown.len() {
        _ if awaited.is_empty() => stage.to_string(),
        0 => format!("{stage}, waiting for {}", shown.join(", ")),
        more => format!("{stage}, waiting for {} and {more} more", shown.join(", ")),
    })
}

fn security(sources: &StatusInput<'_>) -> SecurityStatus {
    let Security { authorities, keyring, barred, .. } = &sources.state.security;
    SecurityStatus {
        authority: authorities.issuing,
        other_authorities: authorities.trusted.keys().copied().filter(|ca| authorities.issuing != Some(*ca)).collect(),
        key: keyring.primary,
        other_keys: keyring.keys.keys().copied().filter(|key| keyring.primary != Some(*key)).collect(),
        rotating: rotating(sources),
        barred: barred.names().cloned().collect(),
    }
}

fn node_status(sources: &StatusInput<'_>, name: &NodeName, id: NodeId) -> NodeStatus {
    let record = &sources.state.nodes[name];
    let heard = sources.view.nodes.get(name);
    let facts = heard.and_then(|node| node.facts.as_ref());
    NodeStatus {
        name: name.clone(),
        address: record.addr,
        roles: record.roles.clone(),
        version: facts.map(|facts| facts.version.clone()),
        reachable: heard.is_some_and(|node| node.live),
        voter: sources.raft.voters.contains(&id),
        voter_why: sources.voters_why.get(name).cloned().unwrap_or_default(),
        zone: record.zone.clone(),
        certificate_expires_unix_s: facts.and_then(|facts| facts.holds.certificate_expires_unix_s),
        kernel: facts.map(|facts| facts.kernel.clone()).unwrap_or_default(),
        revision: heard.map_or(0, |node| node.revision),
        withdrawn: facts.is_some_and(|facts| facts.withdrawn),
    }
}

fn vip_status(sources: &StatusInput<'_>, group: &VipGroup) -> VipStatus {
    let live = sources.view.nodes.iter().filter(|(name, node)| node.live && sources.state.nodes.contains_key(*name));
    // A lease counts before a fallback, which has no epoch.
    let mut claims: Vec<(Option<u64>, u64, &NodeName)> = live
        .filter_map(|(name, node)| match node.holding.get(&group.name) {
            Some(Holding::Held { epoch, since_unix_ms }) => Some((Some(*epoch), *since_unix_ms, name)),
            Some(Holding::Fallback { since_unix_ms }) => Some((None, *since_unix_ms, name)),
            Some(Holding::NotHeld) | None => None,
        })
        .collect();
    // The latest claim counts: the new holder's gossip arrives before the former holder's.
    claims.sort_by(|a, b| b.cmp(a));
    let newest = claims.first();
    let (in_place, missing) = placement(sources, group);
    VipStatus {
        name: group.name.clone(),
        addresses: group.addresses.iter().copied().collect(),
        interface: group.interface.clone(),
        mode: if newest.is_some_and(|(epoch, ..)| epoch.is_none()) { VipMode::Fallback } else { VipMode::Lease },
        holder: newest.map(|(_, _, name)| (*name).clone()),
        holders: claims.iter().map(|(_, _, name)| (*name).clone()).collect(),
        epoch: newest.and_then(|(epoch, ..)| *epoch),
        held_ms: newest.map(|(_, since, _)| unix_ms(sources.unix_now).saturating_sub(*since)),
        why_unheld: newest.is_none().then(|| unheld::why(sources, group)),
        could_hold: Some(unheld::could_hold(sources, group)),
        less_fit: less_fit::directors(sources, group),
        in_place,
        missing,
    }
}

/// The real servers of the group's services that have the VIP in place, and those that should have.
fn placement(sources: &StatusInput<'_>, group: &VipGroup) -> (Vec<NodeName>, Vec<MissingVip>) {
    let StatusInput { state, view, .. } = sources;
    let services = state.rules.services.values().filter(|service| service.vip == group.name);
    let servers = services.flat_map(|service| service.servers.values()).filter(|server| !server.agentless);
    let expected: std::collections::BTreeSet<&NodeName> =
        servers.filter_map(|server| state.node_at(server.address)).map(|node| &node.name).collect();
    let (mut in_place, mut missing) = (Vec::new(), Vec::new());
    for node in expected {
        match view.nodes.get(node).and_then(|heard| heard.in_place.get(&group.name)) {
            Some(Ok(())) => in_place.push(node.clone()),
            Some(Err(why)) => missing.push(MissingVip { node: node.clone(), why: why.clone() }),
            None => {
                missing.push(MissingVip { node: node.clone(), why: "its agent has not said anything about it yet".to_owned() })
            }
        }
    }
    (in_place, missing)
}

fn service_status(sources: &StatusInput<'_>, votes: &Votes<'_>, service: &Service) -> ServiceStatus {
    ServiceStatus {
        name: service.name.clone(),
        vip: service.vip.clone(),
        protocol: service.protocol,
        port: service.port,
        scheduler: service.scheduler,
        forward: service.forward,
        check: service.check.as_ref().map(ToString::to_string),
        servers: service.servers.values().map(|server| server_status(sources, votes, service, server)).collect(),
    }
}

fn server_status(sources: &StatusInput<'_>, votes: &Votes<'_>, service: &Service, server: &RealServer) -> ServerStatus {
    let target = Target { service: service.name.clone(), server: server.name.clone() };
    let committed = sources.state.verdicts.get(&target);
    let verdict = match (&service.check, committed) {
        (None, _) => VerdictStatus::Unchecked,
        (Some(_), None) => VerdictStatus::Undecided,
        (Some(_), Some((Verdict::Up, _))) => VerdictStatus::Up,
        (Some(_), Some((Verdict::Down, _))) => VerdictStatus::Down,
    };
    let decision = votes.decisions.get(&target);
    let ballots = verdict::ballots(sources.state, &votes.heard, &votes.observers, &target);
    let place =
        sources.state.node_at(server.address).and_then(|node| sources.view.nodes.get(&node.name)?.in_place.get(&service.vip));
    let in_place = matches!(place, Some(Ok(())));
    let ready = in_place || server.agentless;
    let is_in = match decision {
        Some(Decision { presence, .. }) => presence.weight().is_some(),
        None => ready && matches!(verdict, VerdictStatus::Up | VerdictStatus::Unchecked),
    };
    ServerStatus {
        name: server.name.clone(),
        address: (server.address, server.port).into(),
        weight: server.weight.0,
        state: if is_in { Pool::In } else { Pool::Out },
        verdict,
        why: decision
            .map(|decision| decision.reason.clone())
            .or_else(|| committed.map(|(_, why)| why.clone()))
            .unwrap_or_default(),
        in_place,
        agentless: server.agentless,
        local: sources.own.get(&target).map(|word| LocalView { state: seen(word.seen), reason: word.reason.clone() }),
        votes: ballots.iter().map(|ballot| vote(ballot, sources.unix_now)).collect(),
    }
}

fn seen(seen: verdict::Finding) -> ObservationStatus {
    match seen {
        verdict::Finding::Up => ObservationStatus::Up,
        verdict::Finding::Suspect => ObservationStatus::Suspect,
        verdict::Finding::Down => ObservationStatus::Down,
        verdict::Finding::Unable => ObservationStatus::Unable,
    }
}

fn vote(ballot: &Ballot, unix_now: Duration) -> VoteStatus {
    let word = ballot.observation.as_ref();
    VoteStatus {
        observer: ballot.observer.clone(),
        state: word.map_or(ObservationStatus::Unknown, |word| seen(word.seen)),
        reason: word.map_or_else(|| "no probe finished yet".to_owned(), |word| word.reason.clone()),
        age_ms: word.map(|word| unix_ms(unix_now).saturating_sub(word.since_unix_ms)),
        fresh: ballot.fresh,
    }
}

fn unix_ms(unix: Duration) -> u64 {
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}

fn problems(sources: &StatusInput<'_>, status: &Status) -> Vec<String> {
    let mut problems = Vec::new();
    if !sources.raft.quorum {
        problems
            .push("no quorum: rules and verdicts are frozen, forwarding goes on; bring back a majority of the voters".to_owned());
    }
    let silent = status.nodes.iter().filter(|node| !node.reachable);
    problems.extend(silent.map(|node| format!("node {} is not heard", node.name)));
    // This node itself says how it comes back, whether it has a member or not.
    let withdrawn = status.nodes.iter().filter(|node| node.withdrawn && node.name != *sources.me);
    problems.extend(withdrawn.map(|node| {
        format!("node {} is withdrawn: `systemctl restart lvs-agent` there (or a reboot) puts it back in service", node.name)
    }));
    problems.extend(ending_certificates(status, sources.unix_now));
    problems.extend(other_roles(sources));
    problems.extend(sources.raft.refused.clone());
    problems.extend(untrusted(sources));
    problems.extend(sources.troubles.iter().cloned());
    problems.extend(sources.interfaces.iter().cloned());
    problems.extend(lost_keys(sources));
    for vip in &status.vips {
        match vip.holders.as_slice() {
            [] => problems.push(format!(
                "no node holds VIP group {}: {}",
                vip.name,
                vip.why_unheld.as_deref().unwrap_or("it is not known why")
            )),
            [holder] if vip.mode == VipMode::Fallback => problems.push(fallback::problem(vip, holder)),
            [_] => {}
            [_, ..] => problems.push(format!("VIP group {} is claimed by more than one node: {:?}", vip.name, vip.holders)),
        }
        problems.extend(
            vip.missing
                .iter()
                .filter(|missing| !status.nodes.iter().any(|node| node.withdrawn && node.name == missing.node))
                .map(|missing| format!("VIP group {} is not in place on {}: {}", vip.name, missing.node, missing.why)),
        );
    }
    problems.extend(status.vips.iter().flat_map(less_fit::problems));
    problems.extend(unheld::risks(sources, &status.vips));
    for service in &status.services {
        if service.servers.iter().all(|server| server.state == Pool::Out) {
            problems.push(format!("service {} has no server in its pool", service.name));
        }
    }
    problems.extend(sources.report.error.clone());
    if !sources.state.nodes.values().any(|node| node.roles.has(Role::Director)) {
        problems.push("no node has the role director".to_owned());
    }
    problems
}

/// Certificates are renewed long before they end: one that ends soon could not be renewed.
fn ending_certificates(status: &Status, unix_now: Duration) -> Vec<String> {
    let soon = (unix_now + ENDS_SOON).as_secs();
    let ends = |node: &NodeStatus| match node.certificate_expires_unix_s.filter(|ends| *ends < soon) {
        Some(ends) if ends <= unix_now.as_secs() => Some(format!("the certificate of node {} has ended", node.name)),
        Some(ends) => Some(format!("the certificate of node {} ends in {} h", node.name, (ends - unix_now.as_secs()) / 3600)),
        None => None,
    };
    status.nodes.iter().filter_map(ends).collect()
}

/// The CA was replaced while this node was away, or the cluster was founded anew: no member can tell this node, because neither trusts the other.
fn untrusted(sources: &StatusInput<'_>) -> Option<String> {
    let words = sources.raft.untrusted.as_ref().filter(|_| sources.raft.refused.is_none())?;
    let todo = if sources.state.security.authorities.issuing.is_none() && !sources.state.cluster_id.is_empty() {
        "have its certificate, or theirs, made anew, see [tls] in agent.toml".to_owned()
    } else {
        format!(
            "if the ca was replaced while {} was away, run `lvs-agent token create` on a director and `lvs-agent join SEED --token T` here: it keeps its data; if that cluster is no more, run `lvs-agent leave --force` here",
            sources.me
        )
    };
    Some(format!("no member that answers trusts this node's certificate, nor it theirs: {todo} (the reason of one: {words})"))
}

/// Certificates that cannot be renewed, and a rotation that cannot end, are reported long before they cause a failure.
fn lost_keys(sources: &StatusInput<'_>) -> Vec<String> {
    let StatusInput { state, view, raft, .. } = sources;
    let check = RemovalCheck { state, view, voters: &raft.voters };
    let authorities = &state.security.authorities;
    let says_something = |node: &NodeView| node.live && node.facts.as_ref().is_some_and(|facts| !facts.holds.keys.is_empty());
    let directs = |name: &NodeName| state.nodes.get(name).is_some_and(|node| node.roles.has(Role::Director));
    // Nodes that have just started have not published their key inventory yet.
    if !view.nodes.iter().any(|(name, node)| directs(name) && says_something(node)) {
        return Vec::new();
    }
    let is_lost = |ca: &Fingerprint| check.signers(*ca).is_empty();
    let issuing = authorities.issuing.filter(|ca| is_lost(ca) && authorities.upcoming.is_none_or(|next| is_lost(&next)));
    let upcoming = authorities.upcoming.filter(is_lost);
    let issuing = issuing.map(|ca| {
        format!(
            "no director that is heard has the key of ca {ca}: certificates cannot be renewed; bring one back that has it, or run `lvs-agent ca rotate` on a director while certificates are valid"
        )
    });
    let upcoming = upcoming.map(|ca| {
        format!("no director that is heard has the key of ca {ca}, which was to be the next: run `lvs-agent ca rotate` on a director again")
    });
    issuing.into_iter().chain(upcoming).collect()
}

/// The roles that agent.toml asks for may differ from those that the cluster grants.
fn other_roles(sources: &StatusInput<'_>) -> Option<String> {
    let granted = &sources.state.nodes.get(sources.me)?.roles;
    (granted != sources.configured).then(|| {
        if sources.state.security.is_foreign() {
            return format!(
                "agent.toml of {} says {}, the cluster granted {granted}: have a certificate made that says the same, and run `lvs-agent leave` and `lvs-agent join SEED` here",
                sources.me, sources.configured
            );
        }
        let flag: Vec<String> = sources.configured.iter().map(|role| role.to_string()).collect();
        format!(
            "agent.toml of {} says {}, the cluster granted {granted}: change agent.toml, or run `lvs-agent node rename-roles {} --roles {}` on a director",
            sources.me, sources.configured, sources.me, flag.join(",")
        )
    })
}

#[cfg(test)]
mod tests;
