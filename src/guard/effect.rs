//! What this node's part in the leases wants done.

use super::placement::Placement;
use crate::{clock::BootInstant, kernel::fence::Packets, model::VipName, vip::LeaseMessage};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// What is to be done, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a datagram.
    Send {
        /// Where.
        to: SocketAddr,
        /// What.
        message: LeaseMessage,
    },
    /// Put addresses on, or refresh them, for as long as the lease lasts. Not at each renewal: only where the kernel would take them off too early.
    Install {
        /// For this group.
        group: VipName,
        /// Which and where.
        places: BTreeSet<Placement>,
        /// Which of them have been there since they were put on: where one is not, somebody else has removed it.
        kept: BTreeSet<Placement>,
        /// Which the group no longer has: take them off.
        stale: BTreeSet<Placement>,
        /// Local end of the lease.
        until: BootInstant,
        /// First installation of this holding.
        fresh: bool,
        /// Label of this holding.
        epoch: u64,
        /// Without a lease.
        fallback: bool,
        /// What becomes of packets afterwards.
        packets: Packets,
    },
    /// A renewal that the addresses outlast: only the kernel's fence is told of it.
    Extend {
        /// Which addresses.
        vips: Vec<IpAddr>,
        /// Local end of the lease.
        until: BootInstant,
        /// What becomes of packets afterwards.
        packets: Packets,
    },
    /// Take addresses off now.
    Remove {
        /// For this group.
        group: VipName,
        /// Which and where.
        places: BTreeSet<Placement>,
        /// In one line, for the log.
        why: &'static str,
        /// Label of the holding that ends; `None`: it was not held, and this only makes sure.
        epoch: Option<u64>,
    },
    /// Ask the neighbours who has these addresses, and listen for ARP on that interface.
    /// Answered with [`LeaseEvent::CannotLook`](super::leases::LeaseEvent::CannotLook) where that cannot be done.
    Probe {
        /// For this group.
        group: VipName,
        /// Where.
        interface: String,
        /// Which.
        vips: Vec<Ipv4Addr>,
    },
    /// Tell the neighbours that the VIPs are here.
    Announce {
        /// For this group.
        group: VipName,
        /// Where.
        interface: String,
        /// Which.
        vips: Vec<Ipv4Addr>,
    },
}

impl Effect {
    /// Whether it belongs to every renewal: it changes nothing that anybody is told of.
    pub fn is_routine(&self) -> bool {
        match self {
            Effect::Send { .. } | Effect::Extend { .. } | Effect::Probe { .. } => true,
            Effect::Install { .. } | Effect::Remove { .. } | Effect::Announce { .. } => false,
        }
    }
}
