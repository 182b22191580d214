//! The observers of all targets. They are computed anew only when the rules, the members or the set of live nodes has changed, because each target
//! takes one hash for each node.

use super::observers;
use crate::{
    model::{NodeName, NodeRecord},
    rules::{ClusterState, Target},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The observers of each target that has a check.
pub type TargetObservers = BTreeMap<Target, BTreeSet<NodeName>>;

/// The observers of all targets.
pub fn observers_of_targets(state: &ClusterState, live: &BTreeSet<NodeName>) -> TargetObservers {
    let checked = state.rules.targets().filter(|(_, service, _)| service.check.is_some());
    checked
        .map(|(target, _, server)| {
            let own = state.node_at(server.address).map(|node| &node.name);
            let observers = observers(own, &state.nodes, live, &target);
            (target, observers)
        })
        .collect()
}

/// The observers as last computed, and what they were computed from.
#[derive(Default)]
pub struct KnownObservers {
    from: Option<From>,
    observers: Arc<TargetObservers>,
}

#[derive(PartialEq)]
struct From {
    revision: u64,
    nodes: BTreeMap<NodeName, NodeRecord>,
    live: BTreeSet<NodeName>,
}

impl KnownObservers {
    /// See [`observers_of_targets`]. While nothing has changed, it returns the same `Arc`. The rules of one cluster are equal at equal revisions.
    pub fn of(&mut self, state: &ClusterState, live: &BTreeSet<NodeName>) -> &Arc<TargetObservers> {
        let stands = |from: &From| from.revision == state.revision && from.live == *live && from.nodes == state.nodes;
        if !self.from.as_ref().is_some_and(stands) {
            self.observers = Arc::new(observers_of_targets(state, live));
            self.from = Some(From { revision: state.revision, nodes: state.nodes.clone(), live: live.clone() });
        }
        &self.observers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        Verdict,
        fixture::{cluster, name},
    };

    #[test]
    fn what_is_known_is_what_would_be_worked_out_and_a_verdict_changes_none_of_it() {
        let first = cluster();
        let mut judged = first.clone();
        judged.verdicts.values_mut().for_each(|verdict| verdict.0 = Verdict::Down);
        let mut fewer = first.clone();
        fewer.revision += 1;
        fewer.rules.services.values_mut().for_each(|service| drop(service.servers.pop_first()));
        let mut smaller = first.clone();
        smaller.nodes.pop_last();
        let heard = |names: &[&str]| names.iter().map(|node| name(node)).collect::<BTreeSet<NodeName>>();
        let (all, some) = (heard(&["d1", "d2", "r1", "r2"]), heard(&["d1", "r2"]));
        let mut known = KnownObservers::default();
        let before = known.of(&first, &all).clone();
        assert!(Arc::ptr_eq(&before, known.of(&judged, &all)));
        for (state, live) in [(&first, &some), (&fewer, &some), (&smaller, &some), (&smaller, &all), (&first, &all)] {
            assert_eq!(**known.of(state, live), observers_of_targets(state, live));
        }
        assert_ne!(before.len(), observers_of_targets(&fewer, &all).len());
    }
}
