//! Does what the leases want done to interfaces and to the network, and logs every VIP that comes and goes. Before that, it waits for this node's
//! address, and takes off what an earlier run has left.

use super::{
    effect::Effect,
    error::GuardError,
    io::{announce::announce, arp_watch::ArpWatch, outbox::Outbox, socket::LeaseSocket, sweep::sweep, vip_file::Placed},
    leases::LeaseEvent,
    placement::Placement,
};
use crate::{
    base::errors::with_sources,
    base::io::memory::page_faults,
    clock::{BootClock, BootInstant, Clock},
    kernel::{
        fence::Packets,
        io::{
            address::{AddressError, Addresses, ForLease, lifetime},
            fence::{self, Fence},
            secondaries::Secondaries,
        },
    },
    model::VipName,
    repeats::Repeats,
};
use std::{collections::BTreeSet, io::ErrorKind, net::IpAddr, time::Duration};

/// How often this node's address is looked for while it is not there.
const LOOK: Duration = Duration::from_millis(500);
/// The kernel takes an address off up to a quarter of a second after its lifetime. Until it has, the fence guards it.
const REMOVAL_DELAY: Duration = Duration::from_secs(2);

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
    fence: Fence,
    /// Lease messages come in here too.
    pub(super) socket: LeaseSocket,
    /// What waits for [`Executor::settle`].
    outbox: Outbox,
    /// Who else has a VIP, or wants it, while no majority of the voters answers.
    pub(super) arp: ArpWatch,
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
        let beginning = Some(Beginning { noted, next: None });
        let (fence, outbox, arp, failing) = (Fence::default(), Outbox::default(), ArpWatch::default(), Repeats::default());
        Self { addresses, fence, socket, outbox, arp, failing, beginning }
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
        if !beginning.noted.is_empty() {
            fence::remove_left();
        }
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

    /// Does one act; what came of it, if the leases want to know. What belongs to every renewal waits for [`Executor::settle`]; messages no longer than until
    /// something else is done, which may take time, or which others must not see before them.
    pub(super) async fn perform(&mut self, act: Effect) -> Option<LeaseEvent> {
        if !act.is_routine() {
            self.outbox.send(&self.socket);
        }
        match act {
            Effect::Send { to, message } => {
                self.outbox.put(to, &message);
                None
            }
            Effect::Install { group, places, kept, stale, until, fresh, epoch, fallback, packets } => {
                self.open(&places, &kept, until, packets);
                Some(self.install(group, &places, &kept, &stale, until, (epoch, fresh, fallback)).await)
            }
            Effect::Extend { vips, until, packets } => {
                for vip in vips {
                    self.fence.open(vip, until, None, packets);
                }
                None
            }
            Effect::Remove { group, places, why, epoch } => Some(self.remove(group, &places, why, epoch).await),
            Effect::Probe { group, interface, vips } => {
                (!self.arp.probe(&interface, &vips)).then_some(LeaseEvent::CannotLook(group))
            }
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

    /// Why the kernel does not stop VIPs at the end of their leases, in one line.
    pub(super) fn has_no_fence(&self) -> Option<String> {
        self.fence.trouble().map(str::to_owned)
    }

    /// Sends what waits, and tells the kernel in one transaction until when leases have been extended, and which VIPs are off.
    pub(super) fn settle(&mut self) {
        self.outbox.send(&self.socket);
        self.fence.settle();
    }

    /// Before an address is put on, so that it is not there and stopped. Those that are `kept` are open already; what is new of them waits for
    /// [`Executor::settle`], so that one transaction tells it of all groups.
    fn open(&mut self, places: &BTreeSet<Placement>, kept: &BTreeSet<Placement>, until: BootInstant, packets: Packets) {
        let now = BootClock.now();
        let remaining = until - now;
        if !remaining.is_zero() {
            for (_, vip) in places {
                self.fence.open(*vip, until, Some(now + lifetime(remaining) + REMOVAL_DELAY), packets);
            }
            if !places.is_subset(kept) {
                self.fence.settle();
            }
        }
    }

    fn forget(&mut self, places: &BTreeSet<Placement>) {
        for (_, vip) in places {
            self.fence.forget(*vip);
        }
    }

    /// Takes off what is left when nobody will try again.
    pub(super) async fn take_off_in_the_end(&mut self, places: &BTreeSet<Placement>) {
        match self.take_off(places).await {
            Ok(()) => self.fence.end(),
            // The fence stands until its elements have run out.
            Err(error) => tracing::error!(error = %with_sources(&error), "vip is left to the end of its lifetime"),
        }
    }

    /// Takes off what somebody else has put there.
    pub(super) async fn take_off_stray(&self, interface: &str, address: IpAddr) -> Result<(), AddressError> {
        let _secondaries = Secondaries::keep(interface)?;
        self.addresses.remove(interface, address).await
    }

    async fn install(
        &mut self,
        group: VipName,
        places: &BTreeSet<Placement>,
        kept: &BTreeSet<Placement>,
        stale: &BTreeSet<Placement>,
        until: BootInstant,
        (epoch, fresh, fallback): (u64, bool, bool),
    ) -> LeaseEvent {
        let begun = BootClock.now();
        let remaining = until - begun;
        if remaining.is_zero() {
            // Too late: at the tick the holder lets go.
            return LeaseEvent::Tick;
        }
        let lease = ForLease { valid_lft: remaining, until };
        let (kept, new): (Vec<_>, Vec<_>) = places.iter().partition(|place| kept.contains(place));
        let (missing, put_on) = self.addresses.put_all_for(as_text(kept), as_text(new), lease).await;
        if !missing.is_empty() {
            tracing::warn!(vip = %group, epoch, places = %listed(missing), drifted = true, "somebody else removed the vip, put back");
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
        self.forget(&(stale - &left));
        if fresh {
            let install_us = micros(BootClock.now() - begun);
            match fallback {
                true => {
                    tracing::warn!(vip = %group, places = %listed(as_text(places)), install_us, "vip taken by fallback, without a majority of the voters")
                }
                false => tracing::info!(vip = %group, epoch, places = %listed(as_text(places)), install_us, "vip taken"),
            }
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
        let removal_us = micros(BootClock.now() - begun);
        let page_faults = page_faults() - faults;
        self.failing.over(&(group.clone(), Doing::LettingGo));
        self.forget(places);
        match epoch {
            Some(epoch) if places.is_empty() => {
                tracing::info!(vip = %group, epoch, why, "vip group ends, its addresses stay here for another one");
            }
            Some(epoch) => {
                tracing::info!(vip = %group, epoch, why, places = %listed(as_text(places)), removal_us, page_faults, "vip let go")
            }
            None => tracing::debug!(vip = %group, why, removal_us, "vip is not here"),
        }
        LeaseEvent::Removed(group)
    }

    /// Tries all, whatever becomes of one; an error, if there was any.
    async fn take_off(&self, places: &BTreeSet<Placement>) -> Result<(), AddressError> {
        self.addresses.remove_all(as_text(places)).await
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn as_text<'a>(places: impl IntoIterator<Item = &'a Placement>) -> impl Iterator<Item = (&'a str, IpAddr)> {
    places.into_iter().map(|(interface, address)| (interface.as_str(), *address))
}

fn listed<'a>(places: impl IntoIterator<Item = (&'a str, IpAddr)>) -> String {
    let each: Vec<String> = places.into_iter().map(|(interface, address)| format!("{address} on {interface}")).collect();
    each.join(", ")
}
