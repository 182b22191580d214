//! The interface between a fallback and its driver: what it is told, and what it wants done.

use crate::{
    clock::BootInstant,
    model::{Fitness, NodeId},
    vip::message::Standing,
};

/// What the state machine is told at each step of what surrounds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Circumstances {
    /// How fit this node is, if it may hold the group by fallback at all.
    pub may: Option<Fitness>,
    /// What this node's holder side does.
    pub lease: LeaseSide,
    /// Since when no majority of the voters answers its asks.
    pub unanswered_since: Option<BootInstant>,
    /// A majority has answered it, ever.
    pub was_answered: bool,
}

/// What this node's holder side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseSide {
    /// It removes the VIP, or has retired: nothing may be put on.
    Busy,
    /// It does not hold the group.
    Free,
    /// It holds it.
    Holds,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FallbackEvent {
    /// Another candidate has said something.
    Advert {
        /// Which.
        from: NodeId,
        /// What.
        standing: Standing,
        /// How fit it is.
        fitness: Fitness,
    },
    /// An ARP frame of another machine was seen on the VIP's interface.
    Seen(ArpSeen),
    /// [`FallbackEffect::Probe`] could not be done.
    CannotLook,
    /// The kernel would not take the VIP.
    InstallFailed,
    /// [`FallbackEffect::Remove`] is done.
    Removed,
    /// The circumstances may have changed, or a deadline has come.
    Look,
}

/// What another machine has said by ARP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ArpSeen {
    /// "I have the VIP."
    Claim,
    /// "Has anybody the VIP?", without an address of its own.
    Probe,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FallbackEffect {
    /// Tell another candidate.
    Send {
        /// Which.
        to: NodeId,
        /// What.
        standing: Standing,
    },
    /// Ask by ARP who has the VIPs: all of them, or one, each time another.
    Probe {
        /// All of them.
        all: bool,
    },
    /// Put the VIP on the interface, or leave it there, until then. It ends by itself there, as a lease does.
    Take {
        /// By this node's clock.
        until: BootInstant,
        /// It was not there.
        fresh: bool,
    },
    /// Take it off, and say so with [`FallbackEvent::Removed`].
    Remove {
        /// In one line, for the log.
        why: &'static str,
    },
}
