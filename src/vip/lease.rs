//! The holder side of the lease: asks, counts grants, holds, lets go in time.

use super::message::{Membership, Message, Round};
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
};
use std::time::Duration;

/// What a holder is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEvent {
    /// The worker says which membership to count with.
    Membership(Membership),
    /// The rules say who may hold the group, best first.
    Candidates(Vec<NodeId>),
    /// Rules are in the kernel (or no longer): may ask (or must let go in favour of another).
    Ready(bool),
    /// A guard said something.
    Heard {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// The kernel confirmed what [`HolderEffect::Install`] asked for.
    Installed,
    /// The kernel confirmed what [`HolderEffect::Remove`] asked for: the VIP is gone.
    Removed,
    /// The kernel would not take the VIP.
    InstallFailed,
    /// Let go for good: shutdown, leave, or the group is gone from the rules. Hands over to the best other candidate.
    Retire,
    /// A deadline has come.
    Tick,
}

/// What a holder wants done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderEffect {
    /// Send a datagram.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Put the VIP on the interface, or refresh it, so that the kernel itself drops it after `until`. Answer with
    /// [`HolderEvent::Installed`] or [`HolderEvent::InstallFailed`].
    Install {
        /// Local end of the lease.
        until: BootInstant,
        /// First installation of this holding: announce, report.
        fresh: bool,
        /// Label of this holding.
        epoch: u64,
    },
    /// Take the VIP off the interface now; answer with [`HolderEvent::Removed`].
    Remove {
        /// In one line, for the log.
        why: &'static str,
    },
}

/// Where a holder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
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

/// One group's holder side on one node.
#[derive(Clone, Debug)]
pub struct Holder {
    me: NodeId,
    group: VipName,
    ttl: Duration,
    round: Round,
}
