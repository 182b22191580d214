//! Who may stand at the failures: bounds on connections that have not proved anything yet, and how often one source may fail.

use crate::{
    base::{
        host::host,
        per_source::{PerSource, Share},
        rate_limit::RateLimit,
    },
    clock::{BootClock, BootInstant, Clock},
};
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections of members that do not vote at a time: they are short. Who is closed tries again.
const MEMBERS: usize = 256;
/// Connections of voters at a time: four from each of five, as many again while a leader that was lost is replaced, and twice that while they change.
const VOTERS: usize = 64;
/// Connections at a time that have not said hello as a member, from addresses of voters, of other members, and from all others. Each has slots of
/// its own, so that strangers cannot keep members out, nor members voters.
const UNPROVEN: usize = 64;
/// The same from one address, so that one machine cannot keep the others out.
const UNPROVEN_PER_SOURCE: usize = 16;
/// That connections were closed for their number is said once in this time.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Whose an address, or a connection that has said hello, is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// One of those who vote.
    Voters,
    /// Another member's.
    Members,
    /// Anybody else's.
    Strangers,
}

/// Where connections come from, as they are counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Source {
    /// An address that a member has.
    Member(IpAddr),
    /// Another machine.
    Stranger(IpAddr),
}

/// The failures of one node's Raft port. Clones share it.
#[derive(Clone)]
pub struct ConnectionLimits {
    inner: Arc<Inner>,
}

struct Inner {
    voters: Arc<Semaphore>,
    members: Arc<Semaphore>,
    voting: Arc<Semaphore>,
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    by_source: PerSource<Source>,
    failures: Mutex<RateLimit>,
    said: Mutex<Option<BootInstant>>,
}

/// A connection's slot.
pub struct ConnectionSlot {
    limits: ConnectionLimits,
    source: Source,
    unproven: Option<(OwnedSemaphorePermit, Share<Source>)>,
    member: Option<OwnedSemaphorePermit>,
}

impl Default for ConnectionLimits {
    /// Nobody is there yet.
    fn default() -> Self {
        let inner = Inner {
            voters: Arc::new(Semaphore::new(VOTERS)),
            members: Arc::new(Semaphore::new(MEMBERS)),
            voting: Arc::new(Semaphore::new(UNPROVEN)),
            known: Arc::new(Semaphore::new(UNPROVEN)),
            unknown: Arc::new(Semaphore::new(UNPROVEN)),
            by_source: PerSource::new(UNPROVEN_PER_SOURCE),
            failures: Mutex::default(),
            said: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl ConnectionLimits {
    /// A slot for a connection from `source`, an address of this kind; `None`: it is to be closed.
    pub fn enter(&self, source: IpAddr, whose: Whose) -> Option<ConnectionSlot> {
        // Members are not counted with whoever else is in their network.
        let (source, slots) = match whose {
            Whose::Voters => (Source::Member(source.to_canonical()), &self.inner.voting),
            Whose::Members => (Source::Member(source.to_canonical()), &self.inner.known),
            Whose::Strangers => (Source::Stranger(host(source)), &self.inner.unknown),
        };
        let unproven = slots.clone().try_acquire_owned().ok().zip(self.inner.by_source.take(source));
        if unproven.is_none() {
            self.say_full(source);
        }
        Some(ConnectionSlot { limits: self.clone(), source, unproven: Some(unproven?), member: None })
    }

    /// How long this source must wait because it has failed too often.
    pub fn wait(&self, source: IpAddr) -> Option<Duration> {
        lock(&self.inner.failures).wait(source, BootClock.now())
    }

    /// This source has failed. Gives whether that is worth a line in the log.
    pub fn failed(&self, source: IpAddr) -> bool {
        lock(&self.inner.failures).failed(source, BootClock.now())
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

impl ConnectionSlot {
    /// It is a member's, which votes or does not: it takes one of their slots. `false`: there is none.
    pub fn prove(&mut self, votes: bool) -> bool {
        let Inner { voters, members, .. } = self.limits.inner.as_ref();
        let slots = if votes { voters } else { members };
        self.member = slots.clone().try_acquire_owned().ok();
        if self.member.is_none() {
            self.limits.say_full(self.source);
            return false;
        }
        self.unproven = None;
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    #[test]
    fn one_source_takes_its_share_and_gives_it_back() {
        let limits = ConnectionLimits::default();
        let (greedy, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let enter = |from| limits.enter(from, Whose::Strangers);
        let mut slots: Vec<ConnectionSlot> = (0..UNPROVEN_PER_SOURCE).map(|_| enter(greedy).unwrap()).collect();
        assert!(enter(greedy).is_none());
        assert!(enter(other).is_some());
        assert!(slots[0].prove(false), "a member stands in nobody's way");
        slots.push(enter(greedy).unwrap());
        assert!(enter(greedy).is_none());
        drop(slots);
        assert!(enter(greedy).is_some());
        assert!(limits.inner.by_source.sources() == 0);
    }

    #[test]
    fn all_strangers_together_have_a_limit_that_is_not_the_members() {
        let limits = ConnectionLimits::default();
        let sources = (0..UNPROVEN as u8).map(|n| IpAddr::from([192, 0, 2, n]));
        let slots: Vec<ConnectionSlot> = sources.map(|source| limits.enter(source, Whose::Strangers).unwrap()).collect();
        let late = IpAddr::from([198, 51, 100, 1]);
        assert!(limits.enter(late, Whose::Strangers).is_none());
        assert!(limits.enter(late, Whose::Members).is_some(), "a member's address has other slots");
        drop(slots);
        assert!(limits.enter(late, Whose::Strangers).is_some());
    }

    #[test]
    fn three_hundred_members_leave_voters_the_places_that_they_have() {
        let limits = ConnectionLimits::default();
        let arrive = |n: u16, whose| limits.enter(member(n), whose);
        let proven: Vec<ConnectionSlot> = (0..300)
            .filter_map(|n| {
                let mut slot = arrive(n, Whose::Members)?;
                slot.prove(false).then_some(slot)
            })
            .collect();
        assert_eq!(proven.len(), MEMBERS);
        // As many again have connected and say nothing.
        let silent: Vec<ConnectionSlot> = (0..300).filter_map(|n| arrive(n, Whose::Members)).collect();
        assert_eq!(silent.len(), UNPROVEN);
        let from_voters: Vec<ConnectionSlot> = (0..5 * 4)
            .map(|n| {
                let mut slot = arrive(1000 + n % 5, Whose::Voters).expect("a voter's address has slots of its own");
                assert!(slot.prove(true), "voter {} is shut out", n % 5);
                slot
            })
            .collect();
        assert_eq!(from_voters.len(), 20);
        let mut learner = arrive(1000, Whose::Voters).unwrap();
        assert!(!learner.prove(false), "who comes from a voter's address and does not vote takes no voter's slot");
    }
}
