//! What a holder is told, what it wants done, and where it stands: the words between the holder side and its driver.

use super::message::{LeaseMembership, LeaseMessage};
use crate::{clock::BootInstant, model::NodeId};
use std::time::Duration;

/// What a holder is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEvent {
    /// The worker says which membership to count with.
    Membership(LeaseMembership),
    /// The rules say who may hold the group, best first.
    Candidates(Vec<NodeId>),
    /// The rules are in the kernel (or no longer): may ask (or must let go in favour of another).
    Ready(bool),
    /// A guard said something.
    Heard {
        /// Who.
        from: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// The kernel confirmed what [`HolderEffect::Install`] asked for.
    Installed,
    /// The kernel confirmed what [`HolderEffect::Remove`] asked for: the VIP is gone.
    Removed,
    /// The kernel would not take the VIP.
    InstallFailed,
    /// Let go for good: shutdown, leave, or the group is gone from the rules. Hands over to the other candidates.
    Retire,
    /// A deadline has come.
    Tick,
}

/// What a holder wants done, in this order. The driver answers every [`HolderEffect::Install`] and every [`HolderEffect::Remove`] exactly
/// once, in the order in which they were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEffect {
    /// Send a datagram. `to` may be this node itself: the driver hands it to this node's voter side.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: LeaseMessage,
    },
    /// Put the VIP on the interface, or refresh it, so that the kernel itself drops it after `until`. Answer with
    /// [`HolderEvent::Installed`] or [`HolderEvent::InstallFailed`]. Whoever comes to it after `until` must not do it: that is a failure.
    Install {
        /// Local end of the lease.
        until: BootInstant,
        /// First installation of this holding: announce, report.
        fresh: bool,
        /// Label of this holding.
        epoch: u64,
    },
    /// Take the VIP off the interface now; answer with [`HolderEvent::Removed`] once it is gone for certain, however often that must be tried.
    Remove {
        /// In one line, for the log.
        why: &'static str,
    },
}

/// Where a holder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolderState {
    /// Not allowed or not ready to ask.
    Idle,
    /// Wants it, does not have it.
    Asking,
    /// Holds it until then by its own clock.
    Holding {
        /// Local end of the lease.
        until: BootInstant,
        /// Label of this holding.
        epoch: u64,
    },
    /// Taking it off; not yet confirmed.
    Removing,
    /// Let go for good.
    Retired,
}

/// How fast a holder goes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTiming {
    /// Lease duration to ask for.
    pub ttl: Duration,
    /// Time kept free before the end of a lease for taking the VIP off the interface.
    pub removal: Duration,
    /// By how much each candidate waits longer than the next better one.
    pub step: Duration,
}

impl LeaseTiming {
    /// The usual timing for a ttl.
    pub fn of(ttl: Duration) -> Self {
        Self { ttl, removal: (ttl / 20).max(Duration::from_millis(10)), step: (ttl / 60).max(Duration::from_millis(5)) }
    }

    /// Time between two renewals, and how long answers to an ask are waited for.
    pub(super) fn rhythm(&self) -> Duration {
        self.ttl / 4
    }

    /// Shortest time between two asks: well under a step, so that who is told "in a millisecond" is back before the next candidate's turn.
    pub(super) fn shortest_pause(&self) -> Duration {
        self.step / 4
    }
}
