//! What this node observes, worked out anew only when the state, the members or who is heard have changed.

use crate::{
    health::{self, Assignment},
    model::NodeName,
    rules::{ClusterState, Target},
    verdict::KnownObservers,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The last answer, and what it was made from.
#[derive(Default)]
pub struct Assigned {
    observers: KnownObservers,
    from: Option<(Arc<ClusterState>, BTreeSet<NodeName>)>,
    assignments: Arc<BTreeMap<Target, Assignment>>,
}

impl Assigned {
    /// See [`health::assignments`]. As long as they are equal the answer is the same one.
    pub fn to(
        &mut self,
        me: &NodeName,
        state: &Arc<ClusterState>,
        live: &BTreeSet<NodeName>,
    ) -> &Arc<BTreeMap<Target, Assignment>> {
        let stands = |(from, heard): &(Arc<ClusterState>, BTreeSet<NodeName>)| Arc::ptr_eq(from, state) && heard == live;
        if !self.from.as_ref().is_some_and(stands) {
            let assignments = health::assignments(me, state, self.observers.of(state, live));
            if *self.assignments != assignments {
                self.assignments = Arc::new(assignments);
            }
            self.from = Some((state.clone(), live.clone()));
        }
        &self.assignments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Weight,
        rules::fixture::{cluster, name, server_of},
        verdict::observers_of_targets,
    };

    #[test]
    fn what_was_worked_out_is_what_would_be_and_stays_the_same_one_while_it_is_equal() {
        let mut before = cluster();
        let mut now = before.clone();
        now.revision += 1;
        let now = Arc::new(now);
        server_of(&mut before.rules, "r1").port = 81;
        let mut heavier = before.clone();
        heavier.revision -= 1;
        server_of(&mut heavier.rules, "r2").weight = Weight(7);
        let (former, heavier) = (Arc::new(before), Arc::new(heavier));
        let heard = |names: &[&str]| names.iter().map(|node| name(node)).collect::<BTreeSet<NodeName>>();
        let (all, some) = (heard(&["d1", "d2", "r1", "r2"]), heard(&["d1", "r2"]));
        let mut assigned = Assigned::default();
        let me = name("d1");
        for (state, live) in [(&former, &all), (&former, &all), (&now, &all), (&now, &some), (&former, &some), (&now, &all)] {
            assert_eq!(**assigned.to(&me, state, live), health::assignments(&me, state, &observers_of_targets(state, live)));
            assert_eq!(assigned.assignments.len(), 2, "d1 observes both servers");
        }
        let first = assigned.to(&me, &former, &all).clone();
        assert!(Arc::ptr_eq(&first, assigned.to(&me, &heavier, &all)), "a weight is not observed");
        assert!(!Arc::ptr_eq(&first, assigned.to(&me, &now, &all)));
    }
}
