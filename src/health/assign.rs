//! Which targets this node observes, and which of them other observers find suspect or down.

use super::schedule;
use crate::{
    model::{Check, NodeName},
    rules::{ClusterState, Target},
    verdict::{Finding, ObserverReports, TargetObservers, check_address, check_fingerprint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

/// One target to observe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The address to probe.
    pub address: SocketAddr,
    /// How to probe it, and how often.
    pub check: Check,
    /// This node's position among the observers in the order of their names, from 0.
    pub position: usize,
    /// How many observers there are.
    pub of: usize,
}

impl Assignment {
    /// See [`check_fingerprint`].
    pub fn fingerprint(&self) -> u32 {
        check_fingerprint(self.address, &self.check.kind)
    }

    pub(super) fn phase(&self, target: &Target) -> Duration {
        schedule::phase(target, self.check.interval, self.position, self.of)
    }
}

/// Another observer finds a target suspect or down. An alarm has an effect once: the same alarm seen again has none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Alarm {
    /// That observer.
    pub observer: NodeName,
    /// Since when, by that observer's clock.
    pub since_unix_ms: u64,
}

/// All that the checks depend on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthInputs {
    /// The targets to observe.
    pub assignments: Arc<BTreeMap<Target, Assignment>>,
    /// What other observers find suspect or down, see [`peer_alarms`].
    pub peer_alarms: BTreeMap<Target, BTreeSet<Alarm>>,
}

/// The targets that `me` observes.
pub fn assignments(me: &NodeName, state: &ClusterState, observers: &TargetObservers) -> BTreeMap<Target, Assignment> {
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let check = service.check.as_ref()?;
            let observers = observers.get(&target)?;
            let position = observers.iter().position(|observer| observer == me)?;
            let address = check_address(server, check);
            Some((target, Assignment { address, check: check.clone(), position, of: observers.len() }))
        })
        .collect()
}

/// The targets of this node that other live observers find suspect or down. An observation of a former address or check is no alarm.
pub fn peer_alarms(
    me: &NodeName,
    heard: &ObserverReports<'_>,
    assignments: &BTreeMap<Target, Assignment>,
) -> BTreeMap<Target, BTreeSet<Alarm>> {
    let mut alarms: BTreeMap<Target, BTreeSet<Alarm>> = BTreeMap::new();
    for (observer, report) in heard.iter().filter(|(observer, report)| **observer != me && report.live) {
        for (target, observation) in report.observations {
            let bad = matches!(observation.seen, Finding::Suspect | Finding::Down);
            let Some(assignment) = assignments.get(target).filter(|_| bad) else { continue };
            if assignment.fingerprint() == observation.fingerprint {
                let alarm = Alarm { observer: (*observer).clone(), since_unix_ms: observation.since_unix_ms };
                alarms.entry(target.clone()).or_default().insert(alarm);
            }
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{CheckKind, ForwardMethod, NodeId, NodeRecord, Protocol, RealServer, Role, Roles, Scheduler, Service, Weight},
        verdict::{Observation, ObserverReport, observers_of_targets},
    };

    fn node(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    /// d1, d2 and r1, r2, of which r1 and r2 serve `web`.
    fn state() -> ClusterState {
        let mut state = ClusterState::default();
        for (i, name) in ["d1", "d2", "r1", "r2"].iter().enumerate() {
            let role = if name.starts_with('d') { Role::Director } else { Role::RealServer };
            let (roles, addr) = (Roles::new([role]).unwrap(), format!("10.0.0.{i}:7400").parse().unwrap());
            state.nodes.insert(
                node(name),
                NodeRecord {
                    id: NodeId(i as u64),
                    name: node(name),
                    roles,
                    addr,
                    zone: None,
                    key: crate::model::PublicKey([0; 32]),
                },
            );
        }
        let second = Duration::from_secs(1);
        let server = |name: &str, address: &str| {
            let address = address.parse().unwrap();
            RealServer { name: name.parse().unwrap(), address, port: 80, weight: Weight(1), agentless: false }
        };
        let servers = [server("r1", "10.0.0.2"), server("r2", "10.0.0.3")];
        let service = Service {
            name: "web".parse().unwrap(),
            vip: "front".parse().unwrap(),
            protocol: Protocol::Tcp,
            port: 80,
            scheduler: Scheduler::Rr,
            forward: ForwardMethod::Dr,
            check: Some(Check { kind: CheckKind::Tcp, port: Some(8080), interval: second, timeout: second, fall: 3, rise: 2 }),
            servers: servers.into_iter().map(|server| (server.name.clone(), server)).collect(),
        };
        state.rules.services.insert(service.name.clone(), service);
        state
    }

    fn target(server: &str) -> Target {
        Target { service: "web".parse().unwrap(), server: server.parse().unwrap() }
    }

    fn assigned(me: &str) -> Vec<String> {
        let state = state();
        let observers = observers_of_targets(&state, &state.nodes.keys().cloned().collect());
        let line = |(target, a): (Target, Assignment)| format!("{target} at {}: {} of {}", a.address, a.position, a.of);
        assignments(&node(me), &state, &observers).into_iter().map(line).collect()
    }

    #[test]
    fn each_observer_has_a_place_of_its_own_and_none_observes_itself() {
        assert_eq!(assigned("d1"), ["web/r1 at 10.0.0.2:8080: 0 of 3", "web/r2 at 10.0.0.3:8080: 0 of 3"]);
        assert_eq!(assigned("d2"), ["web/r1 at 10.0.0.2:8080: 1 of 3", "web/r2 at 10.0.0.3:8080: 1 of 3"]);
        assert_eq!(assigned("r1"), ["web/r2 at 10.0.0.3:8080: 2 of 3"]);
        assert_eq!(assigned("x"), [""; 0]);
    }

    #[test]
    fn alarms_are_fresh_bad_news_from_others_about_what_is_asked_here() {
        let (me, other) = (node("d1"), node("d2"));
        let state = state();
        let mine = assignments(&me, &state, &observers_of_targets(&state, &state.nodes.keys().cloned().collect()));
        let fingerprint = mine[&target("r1")].fingerprint();
        let alarms = |who: &NodeName, live, seen, fingerprint| {
            let observation = Observation { seen, reason: String::new(), since_unix_ms: 7, fingerprint };
            let observations = [(target("r1"), observation)].into();
            let heard = [(who, ObserverReport { live, observations: &observations })].into();
            peer_alarms(&me, &heard, &mine).into_values().flatten().count()
        };
        assert_eq!(alarms(&other, true, Finding::Suspect, fingerprint), 1);
        assert_eq!(alarms(&other, true, Finding::Down, fingerprint), 1);
        assert_eq!(alarms(&other, true, Finding::Up, fingerprint), 0);
        assert_eq!(alarms(&other, false, Finding::Down, fingerprint), 0);
        assert_eq!(alarms(&other, true, Finding::Down, fingerprint + 1), 0);
        assert_eq!(alarms(&me, true, Finding::Down, fingerprint), 0);
    }
}
