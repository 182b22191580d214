//! Which committed verdicts change with the present votes.

use super::{Ballot, Observation, TargetObservers, VoteOutcome, check_address, check_fingerprint, decide, why};
use crate::{
    model::{NodeName, RealServer, Service},
    rules::{ClusterState, Target, VerdictChange},
};
use std::collections::BTreeMap;

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
pub fn verdict_changes(state: &ClusterState, heard: &ObserverReports<'_>, observers: &TargetObservers) -> Vec<VerdictChange> {
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let ballots = cast(heard, observers, &target, service, server);
            let VoteOutcome::Decided(to) = decide(&ballots) else { return None };
            let stands = state.verdicts.get(&target).is_some_and(|(verdict, _)| *verdict == to);
            (!stands).then(|| VerdictChange { target, to, why: why(&ballots) })
        })
        .collect()
}

/// The ballots of a target's observers, by name. Empty for a target that is not in the rules or has no check.
pub fn ballots(state: &ClusterState, heard: &ObserverReports<'_>, observers: &TargetObservers, target: &Target) -> Vec<Ballot> {
    let service = state.rules.services.get(&target.service);
    let server = service.and_then(|service| Some((service, service.servers.get(&target.server)?)));
    server.map(|(service, server)| cast(heard, observers, target, service, server)).unwrap_or_default()
}

fn cast(
    heard: &ObserverReports<'_>,
    observers: &TargetObservers,
    target: &Target,
    service: &Service,
    server: &RealServer,
) -> Vec<Ballot> {
    let (Some(check), Some(observers)) = (&service.check, observers.get(target)) else { return Vec::new() };
    let asked = check_fingerprint(check_address(server, check), &check.kind);
    observers
        .iter()
        .map(|observer| {
            let report = heard.get(observer);
            let found = report.and_then(|report| report.observations.get(target));
            let observation = found.filter(|observation| observation.fingerprint == asked).cloned();
            Ballot { fresh: report.is_some_and(|report| report.live), observer: observer.clone(), observation }
        })
        .collect()
}
