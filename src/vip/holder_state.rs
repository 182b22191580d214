//! The interface between a holder and its driver: events, effects, state, and the times of a lease.

use super::message::{LeaseMembership, LeaseMessage};
use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId},
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// What a holder is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEvent {
    /// The worker tells the effective membership.
    Membership(LeaseMembership),
    /// The worker tells the candidates of the group, best first.
    Candidates(Vec<NodeId>),
    /// The addresses to ask for: those of the group, and those that are on the interface for it still, whatever the rules say.
    Addresses(BTreeSet<IpAddr>),
    /// Whether this node has addresses of the group under the lease of another one: then it need not wait for better candidates.
    Inherits(bool),
    /// Whether the rules are in the kernel. If so, the holder may ask; if not, it lets go and hands over.
    Ready(bool),
    /// How fit this node is for the group. A holder that is less than well hands over to a candidate that is fitter.
    Fitness(Fitness),
    /// A message of a guard has arrived.
    Heard {
        /// The node of that guard.
        from: NodeId,
        /// The message.
        message: LeaseMessage,
    },
    /// [`HolderEffect::Install`] is done.
    Installed,
    /// [`HolderEffect::Remove`] is done: the VIP is off the interface.
    Removed,
    /// [`HolderEffect::Install`] failed: the kernel refused the VIP.
    InstallFailed,
    /// The holder is to let go for good and to hand over: shutdown, `leave`, or the group is gone from the rules.
    Retire,
    /// Another lease of this node is renewed: a holder asks now, too, unless it has just asked.
    Renew,
    /// A deadline has come.
    Tick,
}

/// What a holder wants done, in this order. The driver answers every [`HolderEffect::Install`] and every [`HolderEffect::Remove`] exactly
/// once, in the order in which they were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEffect {
    /// Send a datagram. `to` may be this node itself: the driver passes it to this node's voter.
    Send {
        /// The receiver.
        to: NodeId,
        /// The message.
        message: LeaseMessage,
    },
    /// Put the addresses under the lease ([`Holder::leased`](super::Holder::leased)) on the interface, or refresh them, with a
    /// kernel lifetime that ends after `until`. Answer with [`HolderEvent::Installed`] or [`HolderEvent::InstallFailed`]. After `until` the driver must not do it any more, and answers that it failed.
    Install {
        /// The end of the lease by this node's clock.
        until: BootInstant,
        /// The holder did not hold the group before: announce the VIP, report it.
        fresh: bool,
        /// The epoch, as a label for people.
        epoch: u64,
    },
    /// Take the VIP off the interface now. Try until it is gone for certain, then answer with [`HolderEvent::Removed`].
    Remove {
        /// The reason in one line, for the log.
        why: &'static str,
    },
}

/// The state of a holder, as its driver sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolderState {
    /// It may not ask, or is not ready to.
    Idle,
    /// It wants the group and does not have it.
    Asking,
    /// It holds the group.
    Holding {
        /// The end of the lease by this node's clock.
        until: BootInstant,
        /// The epoch, as a label for people.
        epoch: u64,
    },
    /// It removes the VIP; the driver has not confirmed that yet.
    Removing,
    /// It has let go for good.
    Retired,
}

/// The times of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTiming {
    /// Lease duration to ask for.
    pub ttl: Duration,
    /// The reserve for the removal: so long before the end of its lease a holder removes the VIP.
    pub removal: Duration,
    /// The step between ranks: a candidate waits so much longer than the next better one.
    pub step: Duration,
}

impl LeaseTiming {
    /// The times that belong to a ttl.
    pub fn of(ttl: Duration) -> Self {
        Self { ttl, removal: (ttl / 20).max(Duration::from_millis(10)), step: (ttl / 60).max(Duration::from_millis(5)) }
    }

    /// The time between two renewals, and the longest time that answers to an ask are waited for.
    pub(super) fn renewal_interval(&self) -> Duration {
        self.ttl / 4
    }

    /// The shortest time between two asks. It is well under a step, so that a candidate that may ask again in a millisecond does so before the next
    /// candidate's turn.
    pub(super) fn shortest_pause(&self) -> Duration {
        self.step / 4
    }
}
