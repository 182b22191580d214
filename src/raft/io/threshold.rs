//! Who may stand at the door: bounds on connections that have not proved anything yet, and how often one source may fail.

use crate::{
    clock::{BootClock, BootInstant, Clock},
    link::host::host,
    raft::door::Door,
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of members at a time: four from each of some fifty nodes. Who is closed tries again.
const MEMBERS: usize = 256;
/// Connections at a time that have not said hello as a member, from addresses of members, and from all others. Each has places of its own, so
/// that strangers cannot keep members out.
const UNPROVEN: usize = 64;
/// The same from one address, so that one machine cannot keep the others out.
const UNPROVEN_PER_SOURCE: usize = 16;
/// That connections were closed for their number is said once in this time.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Where connections come from, as they are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Source {
    /// An address that a member has.
    Member(IpAddr),
    /// Another machine.
    Stranger(IpAddr),
}

/// The door of one node's Raft port. Clones share it.
#[derive(Clone)]
pub struct Threshold {
    inner: Arc<Inner>,
}

struct Inner {
    members: Arc<Semaphore>,
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    by_source: Mutex<BTreeMap<Source, usize>>,
    door: Mutex<Door>,
    said: Mutex<Option<BootInstant>>,
}

/// A connection's place.
pub struct Place {
    threshold: Threshold,
    source: Source,
    unproven: Option<OwnedSemaphorePermit>,
    member: Option<OwnedSemaphorePermit>,
}

impl Default for Threshold {
    /// Nobody is there yet.
    fn default() -> Self {
        let inner = Inner {
            members: Arc::new(Semaphore::new(MEMBERS)),
            known: Arc::new(Semaphore::new(UNPROVEN)),
            unknown: Arc::new(Semaphore::new(UNPROVEN)),
            by_source: Mutex::default(),
            door: Mutex::default(),
            said: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Threshold {
    /// A place for a connection from `source`, which is a member's address or not; `None`: it is to be closed.
    pub fn enter(&self, source: IpAddr, is_members: bool) -> Option<Place> {
        // Members are not counted with whoever else is in their network.
        let source = if is_members { Source::Member(source.to_canonical()) } else { Source::Stranger(host(source)) };
        let places = if is_members { &self.inner.known } else { &self.inner.unknown };
        let unproven = places.clone().try_acquire_owned().ok();
        let mut by_source = lock(&self.inner.by_source);
        let from_there = by_source.get(&source).copied().unwrap_or_default();
        match unproven {
            Some(permit) if from_there < UNPROVEN_PER_SOURCE => {
                by_source.insert(source, from_there + 1);
                Some(Place { threshold: self.clone(), source, unproven: Some(permit), member: None })
            }
            _ => {
                self.say_full(source);
                None
            }
        }
    }

    /// How long this source must wait because it has failed too often.
    pub fn wait(&self, source: IpAddr) -> Option<Duration> {
        lock(&self.inner.door).wait(source, BootClock.now())
    }

    /// This source has failed. Gives whether that is worth a line in the log.
    pub fn failed(&self, source: IpAddr) -> bool {
        lock(&self.inner.door).failed(source, BootClock.now())
    }

    fn say_full(&self, source: Source) {
        let now = BootClock.now();
        let mut said = lock(&self.inner.said);
        if said.is_none_or(|said| now.saturating_since(said) >= SAID_EVERY) {
            *said = Some(now);
            let (Source::Member(from) | Source::Stranger(from)) = source;
            tracing::warn!(%from, "raft connection closed: too many are open");
        }
    }
}

impl Place {
    /// It is a member's: it takes one of their places. `false`: there is none.
    pub fn prove(&mut self) -> bool {
        self.member = self.threshold.inner.members.clone().try_acquire_owned().ok();
        if self.member.is_none() {
            self.threshold.say_full(self.source);
            return false;
        }
        self.leave_door();
        true
    }

    fn leave_door(&mut self) {
        if self.unproven.take().is_none() {
            return;
        }
        let mut by_source = lock(&self.threshold.inner.by_source);
        if let Some(count) = by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave_door();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_takes_its_share_and_gives_it_back() {
        let threshold = Threshold::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut places: Vec<Place> = (0..UNPROVEN_PER_SOURCE).map(|_| threshold.enter(greedy, false).unwrap()).collect();
        assert!(threshold.enter(greedy, false).is_none());
        assert!(threshold.enter(other, false).is_some());
        assert!(places[0].prove(), "a member stands in nobody's way");
        places.push(threshold.enter(greedy, false).unwrap());
        assert!(threshold.enter(greedy, false).is_none());
        drop(places);
        assert!(threshold.enter(greedy, false).is_some());
        assert!(lock(&threshold.inner.by_source).is_empty());
    }

    #[test]
    fn all_strangers_together_have_a_limit_that_is_not_the_members() {
        let threshold = Threshold::default();
        let sources = (0..UNPROVEN as u8).map(|n| IpAddr::from([192, 0, 2, n]));
        let places: Vec<Place> = sources.map(|source| threshold.enter(source, false).unwrap()).collect();
        let late = IpAddr::from([198, 51, 100, 1]);
        assert!(threshold.enter(late, false).is_none());
        assert!(threshold.enter(late, true).is_some(), "a member's address has other places");
        drop(places);
        assert!(threshold.enter(late, false).is_some());
    }
}
