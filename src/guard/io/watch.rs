//! What the guard hears from the kernel of interfaces and addresses, and whether it has heard all of it.

use crate::{
    base::errors::with_sources,
    clock::BootInstant,
    guard::sightings::Sightings,
    kernel::io::changes::{Changes, Taken},
    repeats::{Repeat, Repeats},
};
use std::{io, net::IpAddr, time::Duration};

/// Where interfaces and addresses cannot be listed, that is tried again after so long.
const LIST_AGAIN: Duration = Duration::from_secs(1);
/// From one list to the next at least, however often something is missed.
const LIST_EVERY: Duration = Duration::from_millis(50);

/// What the loop hears of the kernel, and what it makes of it.
#[derive(Debug)]
pub struct Watch {
    /// The kernel's words.
    pub changes: Changes,
    /// What is made of them.
    pub sightings: Sightings,
    /// Everything is to be listed then, since something was missed, or nobody has looked yet.
    list_at: Option<BootInstant>,
    listed_at: Option<BootInstant>,
    /// What the worker was last told.
    pub told: Option<Vec<String>>,
    missed: Repeat,
    failing: Repeats<()>,
}

impl Watch {
    /// Hears from now on. `own`: this node's own address.
    pub fn open(own: IpAddr, now: BootInstant) -> io::Result<Self> {
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
    pub fn deadline(&self) -> Option<BootInstant> {
        if self.changes.has_rest() { None } else { self.list_at.or_else(|| self.sightings.deadline()) }
    }

    /// Takes what the kernel has said. Returns whether that is all: only then can what the leases have done be told from what somebody else has done.
    pub fn catch_up(&mut self, now: BootInstant) -> bool {
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
