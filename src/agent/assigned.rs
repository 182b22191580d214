//! What this node observes, worked out anew only when the rules, the members or who is heard have changed: each target's electorate takes a hash a node.

use crate::{
    health::{self, Assignment},
    model::NodeName,
    rules::{ClusterState, Target},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The last answer, and what it was made from.
#[derive(Default)]
pub struct Assigned {
    from: Option<(Arc<ClusterState>, BTreeSet<NodeName>)>,
    assignments: BTreeMap<Target, Assignment>,
}

impl Assigned {
    /// See [`health::assignments`]. A state that is another one counts as changed.
    pub fn to(&mut self, me: &NodeName, state: &Arc<ClusterState>, live: &BTreeSet<NodeName>) -> &BTreeMap<Target, Assignment> {
        let stands = |(from, heard): &(Arc<ClusterState>, BTreeSet<NodeName>)| Arc::ptr_eq(from, state) && heard == live;
        if !self.from.as_ref().is_some_and(stands) {
            self.assignments = health::assignments(me, state, live);
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
    };

    #[test]
    fn what_was_worked_out_is_what_would_be() {
        let mut before = cluster();
        let now = Arc::new(before.clone());
        server_of(&mut before.rules, "r1").port = 81;
        server_of(&mut before.rules, "r2").weight = Weight(7);
        let former = Arc::new(before);
        let heard = |names: &[&str]| names.iter().map(|node| name(node)).collect::<BTreeSet<NodeName>>();
        let (all, some) = (heard(&["d1", "d2", "r1", "r2"]), heard(&["d1", "r2"]));
        let mut assigned = Assigned::default();
        for (state, live) in [(&former, &all), (&former, &all), (&now, &all), (&now, &some), (&former, &some), (&now, &all)] {
            let me = name("d1");
            assert_eq!(assigned.to(&me, state, live), &health::assignments(&me, state, live));
            assert_eq!(assigned.assignments.len(), 2, "d1 observes both servers");
        }
        assert!(Arc::ptr_eq(&assigned.from.as_ref().unwrap().0, &now));
    }
}
