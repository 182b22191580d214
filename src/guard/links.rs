//! Which interfaces can carry a VIP, and since when. Pure.

use crate::{clock::BootInstant, kernel::io::changes::LinkState};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A link that comes back is used again when it has been up for so long: one that comes and goes moves no VIP each time.
pub const STEADY: Duration = Duration::from_secs(1);

/// Why an interface cannot carry a VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// There is none of that name.
    Absent,
    /// It is there, and is not up.
    Down(LinkState),
    /// It is up, since too short a time.
    Settling,
}

#[derive(Clone, Debug)]
struct Link {
    name: String,
    other_names: BTreeSet<String>,
    state: LinkState,
    /// Since when it is up; `None`: for longer than it is watched.
    up_since: Option<BootInstant>,
}

/// The interfaces of this machine.
#[derive(Clone, Default, Debug)]
pub struct Links(BTreeMap<u32, Link>);

impl Links {
    /// An interface is there, or is another than before. `watched`: a new one came just now; otherwise it was there before anybody looked.
    /// Returns whether it has been down in between, or only now came up.
    pub fn set(
        &mut self,
        index: u32,
        names: (String, BTreeSet<String>),
        state: LinkState,
        watched: bool,
        now: BootInstant,
    ) -> bool {
        let before = self.0.get(&index);
        let was_up = before.map_or(!watched, |link| link.state == LinkState::Up);
        let rises = state == LinkState::Up && !was_up;
        let up_since = if rises { Some(now) } else { before.and_then(|link| link.up_since) };
        let (name, other_names) = names;
        self.0.insert(index, Link { name, other_names, state, up_since });
        rises
    }

    /// An interface is gone.
    pub fn remove(&mut self, index: u32) {
        self.0.remove(&index);
    }

    /// Keeps those of a new list.
    pub fn retain(&mut self, listed: &BTreeSet<u32>) {
        self.0.retain(|index, _| listed.contains(index));
    }

    /// The name of an interface.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.0.get(&index).map(|link| link.name.as_str())
    }

    /// The interface of a name.
    pub fn index(&self, name: &str) -> Option<u32> {
        let called = |link: &Link| link.name == name || link.other_names.contains(name);
        self.0.iter().find(|(_, link)| called(link)).map(|(index, _)| *index)
    }

    /// Whether an interface can carry a VIP; if it `was` able to, it need not be up for long, since it then has been down too shortly to be seen.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn usable(&self, name: &str, was: bool, now: BootInstant) -> Result<(), Unusable> {
        let link = self.index(name).and_then(|index| self.0.get(&index)).ok_or(Unusable::Absent)?;
        match (link.state, link.up_since) {
            (LinkState::Up, Some(since)) if !was && now < since + STEADY => Err(Unusable::Settling),
            (LinkState::Up, _) => Ok(()),
            (state @ (LinkState::SetDown | LinkState::NoCarrier | LinkState::NotOperational), _) => Err(Unusable::Down(state)),
        }
    }

    /// When an interface that is up is steady.
    pub fn steady_at(&self, name: &str) -> Option<BootInstant> {
        let link = self.index(name).and_then(|index| self.0.get(&index))?;
        link.up_since.filter(|_| link.state == LinkState::Up).map(|since| since + STEADY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
    }

    fn named(name: &str) -> (String, BTreeSet<String>) {
        (name.to_owned(), ["uplink".to_owned()].into())
    }

    #[test]
    fn a_link_that_was_up_from_the_beginning_is_usable_at_once_and_one_that_comes_back_only_when_steady() {
        let mut links = Links::default();
        assert!(!links.set(2, named("eth1"), LinkState::Up, false, at(0)));
        assert_eq!(links.usable("eth1", false, at(0)), Ok(()));
        assert!(!links.set(2, named("eth1"), LinkState::NoCarrier, true, at(10)));
        assert_eq!(links.usable("eth1", true, at(10)), Err(Unusable::Down(LinkState::NoCarrier)));
        assert!(links.set(2, named("eth1"), LinkState::Up, true, at(20)));
        assert_eq!(links.usable("eth1", false, at(1019)), Err(Unusable::Settling));
        assert_eq!((links.usable("eth1", false, at(1020)), links.steady_at("eth1")), (Ok(()), Some(at(1020))));
        assert_eq!(links.usable("eth1", true, at(20)), Ok(()), "whoever has not seen it down does not care");
    }

    #[test]
    fn a_link_that_appears_while_watched_has_just_come_up_and_is_found_by_each_of_its_names() {
        let mut links = Links::default();
        assert_eq!(links.usable("eth1", false, at(0)), Err(Unusable::Absent));
        assert!(links.set(2, named("eth1"), LinkState::Up, true, at(0)));
        assert_eq!(links.usable("uplink", false, at(0)), Err(Unusable::Settling));
        assert_eq!((links.index("uplink"), links.name(2)), (Some(2), Some("eth1")));
        links.remove(2);
        assert_eq!((links.index("eth1"), links.name(2)), (None, None));
    }
}
