//! Does what the leases want done to interfaces and to the network, and logs every VIP that comes and goes. Before that, it waits for this node's
//! address, and takes off what an earlier run has left.

use super::{
    effect::Effect,
    error::GuardError,
    io::{announce::announce, socket::LeaseSocket, sweep::sweep, vip_file::Placed},
    leases::LeaseEvent,
    placement::Placement,
};
use crate::{
    base::errors::with_sources,
    base::io::memory::page_faults,
    clock::{BootClock, BootInstant, Clock},
    kernel::io::address::{AddressError, Addresses, lifetime},
    model::VipName,
    repeats::Repeats,
};
use std::{collections::BTreeSet, io::ErrorKind, time::Duration};

/// How often this node's address is looked for while it is not there.
const LOOK: Duration = Duration::from_millis(500);

/// What there is to do before anything is sent.
struct Beginning {
    /// What an earlier run may have left.
    noted: Placed,
    /// When the address is looked for again; `None`: it has not been missed yet.
    next: Option<BootInstant>,
}

/// The guard's sockets.
pub(super) struct Executor {
    addresses: Addresses,
    /// Lease messages come in here too.
    pub(super) socket: LeaseSocket,
    /// What fails again and again, so that it is said once and then counted.
    failing: Repeats<(VipName, Doing)>,
    /// `None` once the guard listens and has swept.
    beginning: Option<Beginning>,
}

/// What may fail of a group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Doing {
    Taking,
    LettingGo,
    Announcing,
}

impl Executor {
    pub(super) fn new(addresses: Addresses, socket: LeaseSocket, noted: Placed) -> Self {
        Self { addresses, socket, failing: Repeats::default(), beginning: Some(Beginning { noted, next: None }) }
    }

    /// Whether the guard listens now. Where this node's address is not there yet, it is looked for again at [`Executor::deadline`].
    ///
    /// It listens before it sweeps, so that a second agent on this machine does not take off the first one's VIPs; it sends nothing before it has swept.
    pub(super) async fn listen(&mut self) -> Result<bool, GuardError> {
        let (listen, Some(beginning)) = (self.socket.listen, &mut self.beginning) else { return Ok(true) };
        match self.socket.bind() {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                if beginning.next.replace(BootClock.now() + LOOK).is_none() {
                    tracing::warn!(address = %listen.ip(), "waiting for this node's address to appear on this machine");
                }
                return Ok(false);
            }
            bound => bound.map_err(|source| GuardError::Listen { listen, source })?,
        }
        sweep(&self.addresses, &beginning.noted).await.map_err(GuardError::Sweep)?;
        self.beginning = None;
        tracing::info!(%listen, "guard started");
        Ok(true)
    }

    /// At [`Executor::deadline`], the same.
    pub(super) async fn listen_when_due(&mut self, now: BootInstant) -> Result<(), GuardError> {
        match self.deadline() {
            Some(deadline) if deadline <= now => self.listen().await.map(drop),
            Some(_) | None => Ok(()),
        }
    }

    /// When the address is to be looked for.
    pub(super) fn deadline(&self) -> Option<BootInstant> {
        self.beginning.as_ref().and_then(|beginning| beginning.next)
    }

    /// What the guard waits for, for people.
    pub(super) fn waits_for(&self) -> Option<String> {
        self.beginning.as_ref().map(|_| format!("waiting for address {} to appear on this machine", self.socket.listen.ip()))
    }

    /// Does one act; what came of it, if the leases want to know.
    pub(super) async fn perform(&mut self, act: Effect) -> Option<LeaseEvent> {
        match act {
            Effect::Send { to, message } => {
                self.socket.send(to, &message);
                None
            }
            Effect::Install { group, places, kept, stale, until, fresh, epoch } => {
                Some(self.install(group, &places, &kept, &stale, until, (epoch, fresh)).await)
            }
            Effect::Remove { group, places, why, epoch } => Some(self.remove(group, &places, why, epoch).await),
            Effect::Announce { group, interface, vips } => {
                let about = (group, Doing::Announcing);
                match announce(&interface, vips.iter().copied()) {
                    Ok(()) => {
                        self.failing.over(&about);
                    }
                    Err(error) => {
                        if let Some(times) = self.failing.due(&about, &error.to_string(), BootClock.now()) {
                            tracing::warn!(vip = %about.0, interface, %error, times, "cannot announce");
                        }
                    }
                }
                None
            }
        }
    }

    /// Takes off what is left when nobody will try again.
    pub(super) async fn take_off_in_the_end(&self, places: &BTreeSet<Placement>) {
        if let Err(error) = self.take_off(places).await {
            tracing::error!(error = %with_sources(&error), "vip is left to the end of its lifetime");
        }
    }

    async fn install(
        &mut self,
        group: VipName,
        places: &BTreeSet<Placement>,
        kept: &BTreeSet<Placement>,
        stale: &BTreeSet<Placement>,
        until: BootInstant,
        (epoch, fresh): (u64, bool),
    ) -> LeaseEvent {
        let begun = BootClock.now();
        let remaining = until - begun;
        if remaining.is_zero() {
            // Too late: at the tick the holder lets go.
            return LeaseEvent::Tick;
        }
        let mut missing = BTreeSet::new();
        let put_on = self.put_on(places, kept, remaining, &mut missing).await;
        if !missing.is_empty() {
            tracing::warn!(vip = %group, epoch, places = %listed(&missing), drifted = true, "somebody else removed the vip, put back");
        }
        if let Err(error) = put_on {
            let (why, about) = (with_sources(&error), (group, Doing::Taking));
            if let Some(times) = self.failing.due(&about, &why, BootClock.now()) {
                tracing::error!(vip = %about.0, error = why, times, "cannot take vip, trying again");
            }
            return LeaseEvent::InstallFailed { group: about.0, why };
        }
        self.failing.over(&(group.clone(), Doing::Taking));
        let left = self.take_off_stale(&group, stale).await;
        if fresh {
            let install_us = micros(BootClock.now() - begun);
            tracing::info!(vip = %group, epoch, places = %listed(places), install_us, "vip taken");
        }
        LeaseEvent::Installed { group, lasts: begun + lifetime(remaining), left }
    }

    /// What may be left of it.
    async fn take_off_stale(&mut self, group: &VipName, stale: &BTreeSet<Placement>) -> BTreeSet<Placement> {
        let about = (group.clone(), Doing::LettingGo);
        match self.take_off(stale).await {
            Ok(()) => BTreeSet::new(),
            Err(error) => {
                let why = with_sources(&error);
                if let Some(times) = self.failing.due(&about, &why, BootClock.now()) {
                    tracing::error!(vip = %group, error = why, times, "cannot take off a former address, trying again");
                }
                stale.clone()
            }
        }
    }

    async fn remove(
        &mut self,
        group: VipName,
        places: &BTreeSet<Placement>,
        why: &'static str,
        epoch: Option<u64>,
    ) -> LeaseEvent {
        let (begun, faults) = (BootClock.now(), page_faults());
        if let Err(error) = self.take_off(places).await {
            let (error, about) = (with_sources(&error), (group, Doing::LettingGo));
            if let Some(times) = self.failing.due(&about, &error, BootClock.now()) {
                tracing::error!(vip = %about.0, epoch, why, error, times, "cannot let go of vip, trying again");
            }
            return LeaseEvent::RemovalFailed(about.0);
        }
        self.failing.over(&(group.clone(), Doing::LettingGo));
        let removal_us = micros(BootClock.now() - begun);
        let page_faults = page_faults() - faults;
        match epoch {
            Some(epoch) => {
                tracing::info!(vip = %group, epoch, why, places = %listed(places), removal_us, page_faults, "vip let go")
            }
            None => tracing::debug!(vip = %group, why, removal_us, "vip is not here"),
        }
        LeaseEvent::Removed(group)
    }

    /// Of `places`, those that are `kept` should be there; `missing` were not.
    async fn put_on(
        &self,
        places: &BTreeSet<Placement>,
        kept: &BTreeSet<Placement>,
        lifetime: Duration,
        missing: &mut BTreeSet<Placement>,
    ) -> Result<(), AddressError> {
        for place @ (interface, address) in places {
            if !kept.contains(place) {
                self.addresses.install(interface, *address, Some(lifetime)).await?;
            } else if !self.addresses.refresh(interface, *address, lifetime).await? {
                missing.insert(place.clone());
            }
        }
        Ok(())
    }

    /// Tries all, whatever becomes of one; the last error.
    async fn take_off(&self, places: &BTreeSet<Placement>) -> Result<(), AddressError> {
        let mut result = Ok(());
        for (interface, address) in places {
            result = self.addresses.remove(interface, *address).await.and(result);
        }
        result
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn listed(places: &BTreeSet<Placement>) -> String {
    let words: Vec<String> = places.iter().map(|(interface, address)| format!("{address} on {interface}")).collect();
    words.join(", ")
}
