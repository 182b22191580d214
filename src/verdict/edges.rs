//! Which committed verdicts the present votes change.

use super::{Ballot, Observation, Outcome, asked_at, decide, electorate, question, why};
use crate::{
    model::{NodeName, RealServer, Service},
    rules::{ClusterState, VerdictChange, Target},
};
use std::collections::{BTreeMap, BTreeSet};

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
pub fn edges(state: &ClusterState, heard: &Testimonies<'_>) -> Vec<VerdictChange> {
    let live = live(heard);
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let ballots = cast(state, heard, &live, &target, service, server);
            let Outcome::Decided(to) = decide(&ballots) else { return None };
            let stands = state.verdicts.get(&target).is_some_and(|(verdict, _)| *verdict == to);
            (!stands).then(|| VerdictChange { target, to, why: why(&ballots) })
        })
        .collect()
}

/// The ballots of a target's electorate, by observer. Empty for a target that is not in the rules or has no check.
pub fn ballots(state: &ClusterState, heard: &Testimonies<'_>, target: &Target) -> Vec<Ballot> {
    let service = state.rules.services.get(&target.service);
    let server = service.and_then(|service| Some((service, service.servers.get(&target.server)?)));
    server.map(|(service, server)| cast(state, heard, &live(heard), target, service, server)).unwrap_or_default()
}

fn live(heard: &Testimonies<'_>) -> BTreeSet<NodeName> {
    heard.iter().filter(|(_, testimony)| testimony.live).map(|(name, _)| (*name).clone()).collect()
}

fn cast(
    state: &ClusterState,
    heard: &Testimonies<'_>,
    live: &BTreeSet<NodeName>,
    target: &Target,
    service: &Service,
    server: &RealServer,
) -> Vec<Ballot> {
    let Some(check) = &service.check else { return Vec::new() };
    let asked = question(asked_at(server, check), &check.kind);
    let own = state.node_at(server.address).map(|node| &node.name);
    electorate(own, &state.nodes, live, target)
        .into_iter()
        .map(|observer| {
            let word = heard.get(&observer).and_then(|testimony| testimony.observations.get(target));
            let observation = word.filter(|observation| observation.question == asked).cloned();
            Ballot { fresh: live.contains(&observer), observer, observation }
        })
        .collect()
}
