//! Which committed verdicts the present votes change.

use super::{Ballot, Electorates, Observation, Outcome, asked_at, decide, question, why};
use crate::{
    model::{NodeName, RealServer, Service},
    rules::{ClusterState, Edge, Target},
};
use std::collections::BTreeMap;

/// What is heard of one observer.
#[derive(Clone, Copy, Debug)]
pub struct Testimony<'a> {
    /// Its node is alive, so what it said holds.
    pub live: bool,
    /// All that it said.
    pub observations: &'a BTreeMap<Target, Observation>,
}

/// What is heard of all nodes.
pub type Testimonies<'a> = BTreeMap<&'a NodeName, Testimony<'a>>;

/// The verdicts that a majority now sees differently than the state has them. Empty when there is nothing to commit.
///
/// Targets without a check have no verdict, and a target without a majority keeps the one it has.
pub fn edges(state: &ClusterState, heard: &Testimonies<'_>, electorates: &Electorates) -> Vec<Edge> {
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let ballots = cast(heard, electorates, &target, service, server);
            let Outcome::Decided(to) = decide(&ballots) else { return None };
            let stands = state.verdicts.get(&target).is_some_and(|(verdict, _)| *verdict == to);
            (!stands).then(|| Edge { target, to, why: why(&ballots) })
        })
        .collect()
}

/// The ballots of a target's electorate, by observer. Empty for a target that is not in the rules or has no check.
pub fn ballots(state: &ClusterState, heard: &Testimonies<'_>, electorates: &Electorates, target: &Target) -> Vec<Ballot> {
    let service = state.rules.services.get(&target.service);
    let server = service.and_then(|service| Some((service, service.servers.get(&target.server)?)));
    server.map(|(service, server)| cast(heard, electorates, target, service, server)).unwrap_or_default()
}

fn cast(
    heard: &Testimonies<'_>,
    electorates: &Electorates,
    target: &Target,
    service: &Service,
    server: &RealServer,
) -> Vec<Ballot> {
    let (Some(check), Some(electorate)) = (&service.check, electorates.get(target)) else { return Vec::new() };
    let asked = question(asked_at(server, check), &check.kind);
    electorate
        .iter()
        .map(|observer| {
            let testimony = heard.get(observer);
            let word = testimony.and_then(|testimony| testimony.observations.get(target));
            let observation = word.filter(|observation| observation.question == asked).cloned();
            Ballot { fresh: testimony.is_some_and(|testimony| testimony.live), observer: observer.clone(), observation }
        })
        .collect()
}
