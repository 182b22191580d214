//! Finds the pools of which this director alone does not reach most: then the fault is its own, not the servers'. Pure.

use super::VipsReady;
use crate::{
    model::{Check, NodeName, RealServer, Service, ServiceName},
    rules::{ClusterState, Target, Verdict},
    verdict::{Finding, Observation, ObserverReports, check_address, check_fingerprint},
};
use std::collections::{BTreeMap, BTreeSet};

/// A pool of which a director alone does not reach most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LostPool {
    /// The servers that take traffic and that it reaches.
    pub reached: usize,
    /// The servers that take traffic.
    pub servers: usize,
}

/// What is known of who reaches whom.
#[derive(Clone, Copy, Debug)]
pub struct ReachInput<'a> {
    /// This node.
    pub me: &'a NodeName,
    /// Rules, committed verdicts, members.
    pub state: &'a ClusterState,
    /// For each node whether its VIPs are ready, as it gossips.
    pub in_place: &'a BTreeMap<NodeName, VipsReady>,
    /// The observations of this node itself.
    pub own: &'a BTreeMap<Target, Observation>,
    /// What all nodes say as observers.
    pub heard: &'a ObserverReports<'a>,
}

/// The pools of which this director alone does not reach most.
///
/// A server counts if it takes traffic: the verdict is up, its weight is above 0, its VIP is ready. It is not reached if this director finds it down and
/// more of the other observers find it up than do not. One that suspects it is no witness that it is up: servers that have just died are not the
/// director's fault.
pub fn lost_pools(input: &ReachInput<'_>) -> BTreeMap<ServiceName, LostPool> {
    let down = input.own.iter().filter(|(_, own)| own.seen == Finding::Down);
    // Almost always there is none, and then this is all.
    let suspects: BTreeSet<&ServiceName> = down.map(|(target, _)| &target.service).collect();
    let lost = |name: &ServiceName| Some((name.clone(), lost_pool(input, input.state.rules.services.get(name)?)?));
    suspects.into_iter().filter_map(lost).collect()
}

/// Half of the pool, if that is more than one server; or all of it. A director that does not reach one server of several leaves that one out.
fn is_most(missing: usize, servers: usize) -> bool {
    missing > 0 && (missing == servers || missing > 1 && missing * 2 >= servers)
}

fn lost_pool(input: &ReachInput<'_>, service: &Service) -> Option<LostPool> {
    let check = service.check.as_ref()?;
    let takes_traffic = |server: &&RealServer| {
        let up = input.state.verdicts.get(&target(service, server)).is_some_and(|(verdict, _)| *verdict == Verdict::Up);
        up && server.weight.0 > 0 && is_in_place(input, service, server)
    };
    let servers: Vec<&RealServer> = service.servers.values().filter(takes_traffic).collect();
    let missing = servers.iter().filter(|server| is_missing(input, &target(service, server), server, check)).count();
    is_most(missing, servers.len()).then(|| LostPool { reached: servers.len() - missing, servers: servers.len() })
}

fn is_in_place(input: &ReachInput<'_>, service: &Service, server: &RealServer) -> bool {
    let word = || input.in_place.get(&input.state.node_at(server.address)?.name)?.get(&service.vip);
    server.agentless || word().is_some_and(Result::is_ok)
}

fn is_missing(input: &ReachInput<'_>, target: &Target, server: &RealServer, check: &Check) -> bool {
    let asked = check_fingerprint(check_address(server, check), &check.kind);
    let says = |observations: &BTreeMap<Target, Observation>| {
        observations.get(target).filter(|observation| observation.fingerprint == asked).map(|observation| observation.seen)
    };
    if says(input.own) != Some(Finding::Down) {
        return false;
    }
    let others = input.heard.iter().filter(|(name, report)| **name != input.me && report.live);
    let (mut up, mut not_up) = (0, 0);
    for seen in others.filter_map(|(_, report)| says(report.observations)) {
        match seen {
            Finding::Up => up += 1,
            Finding::Suspect | Finding::Down => not_up += 1,
            Finding::Unable => {}
        }
    }
    up > not_up
}

fn target(service: &Service, server: &RealServer) -> Target {
    Target { service: service.name.clone(), server: server.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Weight,
        reconcile::fixture::{all_in_place, cluster, down, name, own, target, vip_name},
        verdict::ObserverReport,
    };

    /// What d1, d2 and a third observer see of r1, r2 and r3: `+` up, `?` suspect, `-` down, `x` unable, `.` nothing.
    fn seen(letters: &str) -> BTreeMap<Target, Observation> {
        let finding = |letter| match letter {
            '+' => Some(Finding::Up),
            '?' => Some(Finding::Suspect),
            '-' => Some(Finding::Down),
            'x' => Some(Finding::Unable),
            _ => None,
        };
        ["r1", "r2", "r3"].into_iter().zip(letters.chars()).filter_map(|(server, l)| Some(own(server, finding(l)?))).collect()
    }

    fn lost_in(state: &ClusterState, in_place: &BTreeMap<NodeName, VipsReady>, letters: [&str; 3]) -> Option<(usize, usize)> {
        let [d1, d2, w1] = letters.map(seen);
        let names = ["d1", "d2", "w1"].map(name::<NodeName>);
        let reports = [&d1, &d2, &w1].map(|observations| ObserverReport { live: true, observations });
        let heard = names.iter().zip(reports).collect();
        let lost = lost_pools(&ReachInput { me: &names[0], state, in_place, own: &d1, heard: &heard });
        lost.get(&name::<ServiceName>("http")).map(|pool| (pool.reached, pool.servers))
    }

    fn lost(letters: [&str; 3]) -> Option<(usize, usize)> {
        lost_in(&cluster(), &all_in_place(), letters)
    }

    #[test]
    fn a_director_that_alone_misses_most_of_a_pool_has_lost_it_and_one_that_misses_one_of_several_has_not() {
        assert_eq!(lost(["---", "+++", "+++"]), Some((0, 3)));
        assert_eq!(lost(["--+", "+++", "+++"]), Some((1, 3)));
        assert_eq!(lost(["-++", "+++", "+++"]), None);
        assert_eq!(lost(["+++", "---", "+++"]), None);
    }

    #[test]
    fn what_others_do_not_reach_or_suspect_is_not_this_directors_fault() {
        assert_eq!(lost(["---", "---", "+++"]), None);
        assert_eq!(lost(["---", "???", "+++"]), None);
        assert_eq!(lost(["---", "+++", "..."]), Some((0, 3)));
        assert_eq!(lost(["---", "+++", "xxx"]), Some((0, 3)));
        assert_eq!(lost(["---", "+--", "+++"]), None, "only r1 is missed by d1 alone");
        assert_eq!(lost(["---", "...", "..."]), None, "nobody says that they are up");
    }

    #[test]
    fn what_this_director_has_not_probed_or_cannot_counts_as_reached() {
        assert_eq!(lost(["-..", "+++", "+++"]), None);
        assert_eq!(lost(["--.", "+++", "+++"]), Some((1, 3)));
        assert_eq!(lost(["xxx", "+++", "+++"]), None);
    }

    #[test]
    fn a_pool_of_one_is_lost_with_it_and_of_a_pool_of_two_both_must_be() {
        let mut state = cluster();
        state.verdicts.insert(target("r3"), down());
        assert_eq!(lost_in(&state, &all_in_place(), ["--+", "+++", "+++"]), Some((0, 2)));
        assert_eq!(lost_in(&state, &all_in_place(), ["-+-", "++-", "++-"]), None);
        state.verdicts.insert(target("r2"), down());
        assert_eq!(lost_in(&state, &all_in_place(), ["-++", "+++", "+++"]), Some((0, 1)));
        assert_eq!(lost_in(&state, &all_in_place(), ["+--", "+--", "+--"]), None);
    }

    #[test]
    fn half_of_a_larger_pool_is_most_of_it() {
        assert_eq!(
            [(1, 2), (2, 4), (2, 5), (3, 5), (0, 0), (0, 4)].map(|(missing, of)| is_most(missing, of)),
            [false, true, false, true, false, false]
        );
    }

    #[test]
    fn servers_that_take_no_traffic_do_not_count() {
        let mut drained = cluster();
        let http = drained.rules.services.get_mut(&name::<ServiceName>("http")).unwrap();
        http.servers.get_mut(&name("r3")).unwrap().weight = Weight(0);
        assert_eq!(lost_in(&drained, &all_in_place(), ["-++", "+++", "+++"]), None);
        assert_eq!(lost_in(&drained, &all_in_place(), ["--+", "+++", "+++"]), Some((0, 2)));
        let mut in_place = all_in_place();
        in_place.insert(name("r3"), [(vip_name(), Err("withdrawn".to_owned()))].into());
        assert_eq!(lost_in(&cluster(), &in_place, ["--+", "+++", "+++"]), Some((0, 2)));
        let mut unjudged = cluster();
        unjudged.verdicts.clear();
        assert_eq!(lost_in(&unjudged, &all_in_place(), ["---", "+++", "+++"]), None);
    }

    #[test]
    fn an_observation_of_another_address_is_no_witness() {
        let (mut d1, d2) = (seen("---"), seen("+++"));
        let (names, state, in_place) = (["d1", "d2"].map(name::<NodeName>), cluster(), all_in_place());
        let count = |d1: &BTreeMap<Target, Observation>, d2: &BTreeMap<Target, Observation>, live| {
            let reports = [(d1, true), (d2, live)].map(|(observations, live)| ObserverReport { live, observations });
            let heard = names.iter().zip(reports).collect();
            lost_pools(&ReachInput { me: &names[0], state: &state, in_place: &in_place, own: d1, heard: &heard }).len()
        };
        assert_eq!((count(&d1, &d2, true), count(&d1, &d2, false)), (1, 0));
        let mut other = d2.clone();
        other.values_mut().for_each(|seen| seen.fingerprint += 1);
        assert_eq!(count(&d1, &other, true), 0);
        d1.values_mut().for_each(|seen| seen.fingerprint += 1);
        assert_eq!(count(&d1, &d2, true), 0);
    }
}
