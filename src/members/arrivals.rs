//! Which nodes this leader has let in a moment ago: they count as living until they are heard. Pure.

use crate::{clock::BootInstant, model::NodeName, raft::Liveness};
use std::{collections::BTreeMap, time::Duration};

/// A node that was let in counts as living for so long, until it is heard: who claims its name meanwhile is the second.
const ARRIVING: Duration = Duration::from_secs(30);

/// When nodes were let in by this node.
#[derive(Debug, Default)]
pub struct Arrivals(BTreeMap<NodeName, BootInstant>);

impl Arrivals {
    /// This one was let in.
    pub fn note(&mut self, name: &NodeName, now: BootInstant) {
        self.0.retain(|_, at| now.saturating_since(*at) < ARRIVING);
        self.0.insert(name.clone(), now);
    }

    /// Whether a node was let in lately, and has not been heard since and fallen silent.
    pub fn has(&self, name: &NodeName, liveness: &Liveness, now: BootInstant) -> bool {
        let Some(at) = self.0.get(name) else { return false };
        let is_gone = liveness.fell_silent(name).is_some_and(|since| since > *at);
        now.saturating_since(*at) < ARRIVING && !is_gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn who_was_let_in_is_awaited_until_it_falls_silent_or_for_half_a_minute() {
        let at = |seconds| BootInstant::from_boot(Duration::from_secs(seconds));
        let name: NodeName = "a".parse().unwrap();
        let (mut arrivals, mut liveness) = (Arrivals::default(), Liveness::default());
        let look = |liveness: &mut Liveness, live: bool, seconds| {
            let live = if live { BTreeSet::from([name.clone()]) } else { BTreeSet::new() };
            liveness.look([name.clone()].iter(), &live, at(seconds));
        };
        // That a namesake was there before and fell silent says nothing of the one that comes now.
        look(&mut liveness, true, 1);
        look(&mut liveness, false, 5);
        arrivals.note(&name, at(10));
        assert!(arrivals.has(&name, &liveness, at(39)));
        assert!(!arrivals.has(&name, &liveness, at(40)));
        look(&mut liveness, true, 11);
        look(&mut liveness, false, 15);
        assert!(!arrivals.has(&name, &liveness, at(16)));
        assert!(!arrivals.has(&"b".parse().unwrap(), &liveness, at(16)));
    }
}
