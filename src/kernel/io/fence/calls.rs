//! Keeps the kernel's fence up to date, and goes on without where the kernel has none.

use super::{
    socket::{FenceError, Socket},
    wire,
};
use crate::{
    base::errors::with_sources,
    clock::{BootClock, BootInstant, Clock},
    kernel::fence::{FenceChange, Openings, Packets},
    repeats::Repeat,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// A kernel that has refused is asked again after so long: each time it may look for a module.
const AGAIN: Duration = Duration::from_secs(10);
/// A signal interrupts a transaction, and another one may ask for a repetition.
const ATTEMPTS: u32 = 4;

/// The fence of this network namespace. IPv4 only: VIPs are.
#[derive(Default)]
pub struct Fence {
    socket: Option<Socket>,
    openings: Openings,
    trouble: Option<Trouble>,
    /// This node may hold VIPs. Elsewhere nobody asks the kernel for nftables.
    in_use: bool,
    /// Somebody else has taken it away.
    taken_away: Repeat,
}

struct Trouble {
    why: String,
    again: BootInstant,
}

impl Fence {
    /// The VIP is held until then; [`Fence::settle`] tells the kernel. `guarded_until`: when the kernel will have taken the address off, if it was told so.
    pub fn open(&mut self, vip: IpAddr, until: BootInstant, guarded_until: Option<BootInstant>, packets: Packets) {
        if let Some(vip) = v4(vip) {
            self.in_use = true;
            self.openings.open(vip, until, guarded_until, packets);
        }
    }

    /// The VIP is on no interface; [`Fence::settle`] tells the kernel.
    pub fn forget(&mut self, vip: IpAddr) {
        if let Some(vip) = v4(vip) {
            self.in_use = true;
            self.openings.forget(vip);
        }
    }

    /// Why there is none, in one line.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.why.as_str())
    }

    /// Tells the kernel what has changed, in one transaction. Makes the tables where they are not there. What fails is logged, and the address's
    /// lifetime does the rest.
    pub fn settle(&mut self) {
        let now = BootClock.now();
        if !self.in_use || self.trouble.as_ref().is_some_and(|trouble| now < trouble.again) {
            return;
        }
        match self.try_to_settle(now) {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!("kernel stops vips at the end of their leases again");
                }
            }
            Err(error) => self.do_without(&error, now),
        }
    }

    /// Takes the tables away, if this has made them. Every VIP is off.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.in_use) {
            remove_left();
        }
        *self = Self::default();
    }

    fn try_to_settle(&mut self, now: BootInstant) -> Result<(), FenceError> {
        let mut attempts = 0;
        while let Some(change) = self.openings.change(now) {
            attempts += 1;
            match self.commit(|first| wire::change(&change, first)) {
                Ok(()) => self.openings.done(),
                Err(error) if attempts >= ATTEMPTS => return Err(error),
                Err(error) if matches!(error.errno(), Some(libc::EINTR | libc::EAGAIN)) => (),
                Err(error) if matches!(change, FenceChange::Edit { .. }) => {
                    self.openings.lost();
                    if let Some(times) = self.taken_away.due(now) {
                        tracing::warn!(error = %with_sources(&error), times, "nftables table lvs-agent is not what it was made, made anew");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A fence that cannot be opened must not stay closed.
    fn do_without(&mut self, error: &FenceError, now: BootInstant) {
        let why = with_sources(error);
        self.openings.lost();
        let removed = self.commit(wire::remove).is_ok();
        if self.trouble.as_ref().is_none_or(|trouble| trouble.why != why) {
            tracing::warn!(error = why, removed, "kernel does not stop vips at the end of their leases, only by whole seconds");
        }
        self.trouble = Some(Trouble { why, again: now + AGAIN });
    }

    /// A socket whose answers are not clear is not used again.
    fn commit(&mut self, make: impl FnOnce(u32) -> wire::Batch) -> Result<(), FenceError> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open()?,
        };
        let result = socket.commit(make);
        if matches!(result, Ok(()) | Err(FenceError::Refused(..))) {
            self.socket = Some(socket);
        }
        result
    }
}

/// Takes the tables away that an earlier guard has left, after its VIPs. Where it fails, what is in them runs out.
pub fn remove_left() {
    if let Err(error) = Socket::open().and_then(|mut socket| socket.commit(wire::remove)) {
        tracing::debug!(error = %with_sources(&error), "cannot take the fence away");
    }
}

fn v4(vip: IpAddr) -> Option<Ipv4Addr> {
    match vip {
        IpAddr::V4(vip) => Some(vip),
        IpAddr::V6(_) => None,
    }
}
