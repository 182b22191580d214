//! Which committed verdicts change with the present votes.

use super::{Ballot, Observation, VoteOutcome, check_address, check_fingerprint, decide, observers, why};
use crate::{
    model::{NodeName, RealServer, Service},
    rules::{ClusterState, Target, VerdictChange},
};
use std::collections::{BTreeMap, BTreeSet};

/// What one node has gossiped as an observer.
#[derive(Clone, Copy, Debug)]
pub struct ObserverReport<'a> {
    /// The node is alive, so its observations hold.
    pub live: bool,
    /// Its observations.
    pub observations: &'a BTreeMap<Target, Observation>,
}

/// The reports of all nodes.
pub type ObserverReports<'a> = BTreeMap<&'a NodeName, ObserverReport<'a>>;

/// The verdicts on which a majority now differs from the state. Empty when there is nothing to commit.
///
/// Targets without a check have no verdict, and a target without a majority keeps the one it has.
pub fn verdict_changes(state: &ClusterState, heard: &ObserverReports<'_>) -> Vec<VerdictChange> {
    let live = live(heard);
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let ballots = cast(state, heard, &live, &target, service, server);
            let VoteOutcome::Decided(to) = decide(&ballots) else { return None };
            let stands = state.verdicts.get(&target).is_some_and(|(verdict, _)| *verdict == to);
            (!stands).then(|| VerdictChange { target, to, why: why(&ballots) })
        })
        .collect()
}

/// The ballots of a target's observers, by observer. Empty for a target that is not in the rules or has no check.
pub fn ballots(state: &ClusterState, heard: &ObserverReports<'_>, target: &Target) -> Vec<Ballot> {
    let service = state.rules.services.get(&target.service);
    let server = service.and_then(|service| Some((service, service.servers.get(&target.server)?)));
    server.map(|(service, server)| cast(state, heard, &live(heard), target, service, server)).unwrap_or_default()
}

fn live(heard: &ObserverReports<'_>) -> BTreeSet<NodeName> {
    heard.iter().filter(|(_, report)| report.live).map(|(name, _)| (*name).clone()).collect()
}

fn cast(
    state: &ClusterState,
    heard: &ObserverReports<'_>,
    live: &BTreeSet<NodeName>,
    target: &Target,
    service: &Service,
    server: &RealServer,
) -> Vec<Ballot> {
    let Some(check) = &service.check else { return Vec::new() };
    let asked = check_fingerprint(check_address(server, check), &check.kind);
    let own = state.node_at(server.address).map(|node| &node.name);
    observers(own, &state.nodes, live, target)
        .into_iter()
        .map(|observer| {
            let word = heard.get(&observer).and_then(|report| report.observations.get(target));
            let observation = word.filter(|observation| observation.fingerprint == asked).cloned();
            Ballot { fresh: live.contains(&observer), observer, observation }
        })
        .collect()
}
