//! What the guard's loop does with what the kernel says of interfaces and addresses: it tells the leases, and takes off what somebody else has put on.

use super::EventLoop;
use crate::{
    base::errors::with_sources,
    clock::{BootClock, BootInstant, Clock},
    guard::{
        leases::LeaseEvent,
        protocol::{GroupOrder, ToWorker},
        sightings::Sightings,
        strays::{Stray, Strays},
    },
    kernel::io::changes::{Changes, Taken},
    model::Obstacles,
    repeats::{Repeat, Repeats},
};
use std::{io, net::IpAddr, time::Duration};

/// Where interfaces and addresses cannot be listed, that is tried again after so long.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// From one list to the next at least, however often something is missed.
const LIST_EVERY: Duration = Duration::from_millis(50);

/// What the loop hears of the kernel, and what it makes of it.
pub(super) struct Watch {
    pub(super) changes: Changes,
    sightings: Sightings,
    /// Everything is to be listed then, since something was missed, or nobody has looked yet.
    list_at: Option<BootInstant>,
    listed_at: Option<BootInstant>,
    /// What the worker was last told.
    told: Option<Vec<String>>,
    missed: Repeat,
    failing: Repeats<()>,
}

impl Watch {
    /// Hears from now on. `own`: this node's own address.
    pub(super) fn open(own: IpAddr, now: BootInstant) -> io::Result<Self> {
        Ok(Self {
            changes: Changes::open()?,
            sightings: Sightings::new(own),
            list_at: Some(now),
            listed_at: None,
            told: None,
            missed: Repeat::default(),
            failing: Repeats::default(),
        })
    }

    /// When to look even if nothing changes. While changes are waiting, these wake the loop, which has other work in between.
    pub(super) fn deadline(&self) -> Option<BootInstant> {
        if self.changes.has_rest() { None } else { self.list_at.or_else(|| self.sightings.deadline()) }
    }

    /// The worker is another one.
    pub(super) fn forget_told(&mut self) {
        self.told = None;
    }

    /// Takes what the kernel has said. Returns whether that is all: only then can what the leases have done be told from what somebody else has done.
    fn catch_up(&mut self, now: BootInstant) -> bool {
        let (changes, is_all) = match self.changes.take() {
            Taken::All(changes) => (changes, true),
            Taken::Part(changes) => (changes, false),
            Taken::Lost => {
                if let Some(times) = self.missed.due(now) {
                    tracing::warn!(times, "changes of interfaces or addresses were missed, listing all of them");
                }
                // What else there is to take is older than the list.
                self.list_soon(now);
                return false;
            }
        };
        for change in changes {
            if !self.sightings.change(change, now) {
                self.list_soon(now);
            }
        }
        match self.list_at {
            None => is_all,
            // What came while it was made is waiting.
            Some(at) => is_all && now >= at && self.list(now) && self.catch_up(now),
        }
    }

    fn list_soon(&mut self, now: BootInstant) {
        let earliest = self.listed_at.map_or(now, |listed| listed + LIST_EVERY);
        self.list_at = Some(self.list_at.unwrap_or(earliest.max(now)));
    }

    /// Returns whether everything could be listed.
    fn list(&mut self, now: BootInstant) -> bool {
        let listed = self.changes.list();
        let is_first = self.listed_at.is_none();
        match listed {
            Ok(listed) => {
                self.failing.over(&());
                self.sightings.list(listed, is_first, now);
                (self.list_at, self.listed_at) = (None, Some(now));
                true
            }
            Err(error) => {
                self.list_at = Some(now + LIST_AGAIN);
                let why = with_sources(&error);
                if let Some(times) = self.failing.due(&(), &why, now) {
                    tracing::error!(error = why, times, "cannot see what is on this node's interfaces, trying again");
                }
                false
            }
        }
    }
}

impl EventLoop {
    /// Judges what is on interfaces now, and acts on it. Does nothing before all that the kernel has said is known.
    pub(super) async fn look(&mut self) {
        let now = BootClock.now();
        if !self.watch.catch_up(now) {
            return;
        }
        let Some(leases) = &self.leases else { return };
        let judgement = self.watch.sightings.judge(&leases.claims(), now);
        if *leases.barred() != judgement.barred {
            log_links(leases.barred(), &judgement.barred);
            self.lease_event(LeaseEvent::Links(judgement.barred)).await;
        }
        for group in judgement.disturbed {
            self.lease_event(LeaseEvent::Disturbed(group)).await;
        }
        for stray in judgement.strays {
            self.take_off(&stray).await;
        }
    }

    /// At [`Watch::deadline`].
    pub(super) async fn look_when_due(&mut self, now: BootInstant) {
        if self.watch.deadline().is_some_and(|deadline| deadline <= now) {
            self.look().await;
        }
    }

    /// The rules name these groups: before the leases take them up, since their first act would take a stray off without a word.
    pub(super) async fn watch_for(&mut self, orders: &[GroupOrder]) {
        let Some(identity) = &self.identity else { return };
        self.watch.sightings.set_groups(orders, identity.id);
        self.look().await;
    }

    async fn take_off(&mut self, stray: &Stray) {
        let Stray { group, address, interface } = stray;
        let result = self.executor.take_off_stray(interface, *address).await.map_err(|error| with_sources(&error));
        let attempts = self.watch.sightings.taken_off(stray, result.clone(), BootClock.now());
        let is_contest = Strays::is_contest(attempts);
        match result {
            Err(why) => {
                tracing::error!(vip = %group, %address, interface, error = why, attempts, "somebody else has put the vip on an interface of this node, and it cannot be taken off, trying again");
            }
            Ok(()) if is_contest => {
                tracing::error!(vip = %group, %address, interface, attempts, "something else on this machine puts the vip on an interface again and again, taken off, from now on at times only");
            }
            Ok(()) => {
                tracing::warn!(vip = %group, %address, interface, attempts, "somebody else has put the vip on an interface of this node, taken off");
            }
        }
    }

    /// At each change, and after hello.
    pub(super) fn tell_problems(&mut self) {
        let problems = self.watch.sightings.problems();
        if self.greeted && self.watch.told.as_ref() != Some(&problems) {
            self.watch.told = Some(problems.clone());
            self.tell(ToWorker::Problems(problems));
        }
    }
}

fn log_links(before: &Obstacles, now: &Obstacles) {
    for (group, why) in now.iter().filter(|(group, why)| before.get(*group) != Some(why)) {
        tracing::warn!(vip = %group, why, "this node leaves the vip to other directors");
    }
    for group in before.keys().filter(|group| !now.contains_key(*group)) {
        tracing::info!(vip = %group, "the vip's interface can carry it again");
    }
}
