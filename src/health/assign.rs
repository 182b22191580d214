//! Which targets this node observes, and which of them others are worried about.

use super::schedule;
use crate::{
    model::{Check, NodeName},
    rules::{ClusterState, Target},
    verdict::{Seen, Testimonies, asked_at, electorate, question},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// One target to observe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// Where to ask.
    pub address: SocketAddr,
    /// What to ask and how often.
    pub check: Check,
    /// This node's place among the observers in the order of their names, from 0.
    pub position: usize,
    /// How many observers there are.
    pub of: usize,
}

impl Assignment {
    /// See [`question`].
    pub fn question(&self) -> u32 {
        question(self.address, &self.check.kind)
    }

    pub(super) fn phase(&self, target: &Target) -> Duration {
        schedule::phase(target, self.check.interval, self.position, self.of)
    }
}

/// Another observer's bad news of a target. It is news once: the same alarm seen again calls for nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Alarm {
    /// Who says so.
    pub observer: NodeName,
    /// Since when, by its clock.
    pub since_unix_ms: u64,
}

/// All that health needs to know from the rest of the agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthInputs {
    /// What to observe.
    pub assignments: BTreeMap<Target, Assignment>,
    /// What other observers suspect or say is down, see [`peer_alarms`].
    pub peer_alarms: BTreeMap<Target, BTreeSet<Alarm>>,
}

/// The targets that `me` is an observer of.
pub fn assignments(me: &NodeName, state: &ClusterState, live: &BTreeSet<NodeName>) -> BTreeMap<Target, Assignment> {
    state
        .rules
        .targets()
        .filter_map(|(target, service, server)| {
            let check = service.check.as_ref()?;
            let own = state.node_at(server.address).map(|node| &node.name);
            let observers = electorate(own, &state.nodes, live, &target);
            let position = observers.iter().position(|observer| observer == me)?;
            let address = asked_at(server, check);
            Some((target, Assignment { address, check: check.clone(), position, of: observers.len() }))
        })
        .collect()
}

/// What other live nodes suspect or say is down of what this node observes. A word about a former question is no alarm.
pub fn peer_alarms(
    me: &NodeName,
    heard: &Testimonies<'_>,
    assignments: &BTreeMap<Target, Assignment>,
) -> BTreeMap<Target, BTreeSet<Alarm>> {
    let mut alarms: BTreeMap<Target, BTreeSet<Alarm>> = BTreeMap::new();
    for (observer, testimony) in heard.iter().filter(|(observer, testimony)| **observer != me && testimony.live) {
        for (target, observation) in testimony.observations {
            let bad = matches!(observation.seen, Seen::Suspect | Seen::Down);
            let Some(assignment) = assignments.get(target).filter(|_| bad) else { continue };
            if assignment.question() == observation.question {
                let alarm = Alarm { observer: (*observer).clone(), since_unix_ms: observation.since_unix_ms };
                alarms.entry(target.clone()).or_default().insert(alarm);
            }
        }
    }
    alarms
}
