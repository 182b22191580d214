//! Since when each member is heard or silent, and who has come back so lately that it should not be relied upon. Pure.

use super::next_change::DEAD_AFTER;
use crate::{clock::BootInstant, model::NodeName};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a member that was dead and came back has to be heard before others make room for it. Doubles each time, so that a node that
/// dies and comes back all day changes the voters a few times, not all day.
const PROBATION: Duration = DEAD_AFTER;
/// Doubled no more often than this: about half an hour.
const MOST_DOUBLINGS: u32 = 5;
/// After being heard for so long its former deaths count no more.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3 * 3600);

/// What one observer has heard of the members since it began to listen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Liveness {
    nodes: BTreeMap<NodeName, Spell>,
}

/// One member's present time of being heard, or silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spell {
    live: bool,
    since: BootInstant,
    /// Whether it was ever heard: who was not has not fallen silent.
    heard: bool,
    /// How often it was silent for [`DEAD_AFTER`] and came back.
    deaths: u32,
}

impl Liveness {
    /// Takes in who is heard now. Says whether anything is different from before. Nodes that are no members are forgotten.
    pub fn look<'a>(&mut self, members: impl Iterator<Item = &'a NodeName>, live: &BTreeSet<NodeName>, now: BootInstant) -> bool {
        let next: BTreeMap<NodeName, Spell> = members
            .map(|name| {
                let is_live = live.contains(name);
                let spell = self.nodes.get(name).map_or_else(|| Spell::first(is_live, now), |spell| spell.next(is_live, now));
                (name.clone(), spell)
            })
            .collect();
        let differs = next != self.nodes;
        self.nodes = next;
        differs
    }

    /// The silent members, and for how long each has been.
    pub fn silent_for(&self, now: BootInstant) -> BTreeMap<NodeName, Duration> {
        let silent = self.nodes.iter().filter(|(_, spell)| !spell.live);
        silent.map(|(name, spell)| (name.clone(), now.saturating_since(spell.since))).collect()
    }

    /// Since when a member that was heard is silent.
    pub fn fell_silent(&self, name: &NodeName) -> Option<BootInstant> {
        self.nodes.get(name).filter(|spell| spell.heard && !spell.live).map(|spell| spell.since)
    }

    /// Members that were dead and have not been back for long.
    pub fn lately_back(&self, now: BootInstant) -> BTreeSet<NodeName> {
        self.nodes.iter().filter(|(_, spell)| spell.is_lately_back(now)).map(|(name, _)| name.clone()).collect()
    }
}

impl Spell {
    fn first(live: bool, now: BootInstant) -> Self {
        Self { live, since: now, heard: live, deaths: 0 }
    }

    fn next(self, live: bool, now: BootInstant) -> Self {
        let lasted = now.saturating_since(self.since);
        match (self.live, live) {
            (true, true) if lasted >= FORGIVEN_AFTER => Self { deaths: 0, ..self },
            (true, true) | (false, false) => self,
            (true, false) => Self { live, since: now, ..self },
            (false, true) if lasted >= DEAD_AFTER => {
                Self { live, since: now, heard: true, deaths: self.deaths.saturating_add(1) }
            }
            // A short silence does not start its probation anew.
            (false, true) => Self { live, since: now, heard: true, ..self },
        }
    }

    fn is_lately_back(&self, now: BootInstant) -> bool {
        let Some(doublings) = self.deaths.checked_sub(1) else { return false };
        self.live && now.saturating_since(self.since) < PROBATION * 2_u32.pow(doublings.min(MOST_DOUBLINGS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(seconds))
    }

    fn name() -> NodeName {
        "a".parse().unwrap()
    }

    fn look(liveness: &mut Liveness, live: bool, seconds: u64) -> bool {
        let live = if live { BTreeSet::from([name()]) } else { BTreeSet::new() };
        liveness.look([name()].iter(), &live, at(seconds))
    }

    #[test]
    fn silence_is_counted_from_when_it_began_and_anew_by_a_new_listener() {
        let mut liveness = Liveness::default();
        assert!(look(&mut liveness, true, 10));
        assert!(!look(&mut liveness, true, 11));
        assert_eq!(liveness.silent_for(at(12)), BTreeMap::new());
        assert!(look(&mut liveness, false, 13));
        look(&mut liveness, false, 40);
        assert_eq!(liveness.silent_for(at(43)), BTreeMap::from([(name(), Duration::from_secs(30))]));
        let mut listener = Liveness::default();
        look(&mut listener, false, 43);
        assert_eq!(listener.silent_for(at(44)), BTreeMap::from([(name(), Duration::from_secs(1))]));
        assert!(liveness.look(std::iter::empty(), &BTreeSet::new(), at(50)));
        assert_eq!(liveness.silent_for(at(50)), BTreeMap::new());
    }

    #[test]
    fn only_who_was_heard_falls_silent() {
        let mut liveness = Liveness::default();
        look(&mut liveness, false, 10);
        assert_eq!(liveness.fell_silent(&name()), None);
        look(&mut liveness, true, 11);
        assert_eq!(liveness.fell_silent(&name()), None);
        look(&mut liveness, false, 12);
        look(&mut liveness, false, 13);
        assert_eq!(liveness.fell_silent(&name()), Some(at(12)));
    }

    #[test]
    fn who_was_dead_is_lately_back_for_longer_each_time_and_forgiven_in_the_end() {
        let mut liveness = Liveness::default();
        look(&mut liveness, true, 0);
        look(&mut liveness, false, 10);
        look(&mut liveness, true, 69);
        assert!(liveness.lately_back(at(69)).is_empty(), "59 s of silence are no death");
        look(&mut liveness, false, 100);
        look(&mut liveness, true, 160);
        assert_eq!(liveness.lately_back(at(219)), BTreeSet::from([name()]));
        assert!(liveness.lately_back(at(220)).is_empty());
        look(&mut liveness, false, 300);
        assert!(liveness.lately_back(at(300)).is_empty(), "it is silent");
        look(&mut liveness, true, 360);
        assert_eq!(liveness.lately_back(at(479)), BTreeSet::from([name()]));
        assert!(liveness.lately_back(at(480)).is_empty());
        look(&mut liveness, true, 20_000);
        look(&mut liveness, false, 20_001);
        look(&mut liveness, true, 20_061);
        assert!(liveness.lately_back(at(20_121)).is_empty(), "the first death again");
    }
}
