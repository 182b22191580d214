//! What wakes the guard's loop, and how far its shutting down is.

use super::io::{socket::Incoming, worker::WorkerDid};
use crate::clock::BootInstant;

/// Shutting down.
#[derive(Clone, Copy)]
pub(super) struct Stopping {
    /// VIPs are to be handed over by then.
    pub(super) retired_by: BootInstant,
    /// They are, and the worker has been told.
    pub(super) worker_told: bool,
}

/// What woke the loop.
pub(super) enum Woken {
    Deadline,
    Terminate,
    Reload,
    Worker(WorkerDid),
    /// The kernel has something to say of interfaces or addresses.
    Network,
    /// Another machine says something by ARP, while somebody listens.
    Arp,
    Datagram(Option<Incoming>),
}
