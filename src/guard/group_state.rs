//! One VIP group on this node: its holder side, what it has put on the interface, when that is announced. Pure.

use super::{arp::Burst, effect::Effect, placement::Placement, protocol::GroupOrder};
use crate::{
    clock::BootInstant,
    model::{Holding, NodeId, VipName},
    vip::{Fallback, Holder, HolderEffect, HolderState, LeaseMessage},
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

mod fallback;
mod heirs;

pub use fallback::FallbackStanding;

/// A removal that the kernel refused is tried again after so long. Until it succeeds nothing is released; the address's lifetime runs out meanwhile.
const REMOVAL_RETRY: Duration = Duration::from_millis(50);
/// The kernel's lifetime of an address outlasts the lease by this much at least. The kernel may take an address off 20 ms before its lifetime ends
/// (`ADDRCONF_TIMER_FUZZ_MINUS` in include/net/addrconf.h), and counts it in its own clock.
const LIFETIME_MARGIN: Duration = Duration::from_millis(100);

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct GroupState {
    order: GroupOrder,
    holder: Holder,
    fallback: Fallback,
    /// How often the fallback has looked again whether somebody has an address.
    probed: usize,
    /// What the kernel said when it last would not take the addresses.
    refused: Option<String>,
    /// The rules name it no more: it has only what is placed.
    is_leaving: bool,
    /// Addresses that go to another group of this node: they stay until that one holds them.
    kept: BTreeSet<IpAddr>,
    /// What may be on interfaces because of us.
    placed: BTreeSet<Placement>,
    /// When addresses that have left the group are to be taken off.
    stale_due: Option<BootInstant>,
    /// The kernel keeps what was placed last at least until then.
    lasts: Option<BootInstant>,
    /// An [`Effect::Install`] is with the driver.
    installing: Option<Installing>,
    held: Option<Held>,
    /// An [`Effect::Remove`] is with the driver, or to be tried again.
    removing: Option<Removing>,
    /// Why it cannot be held here, beside what the holder side knows.
    barred: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
struct Installing {
    epoch: u64,
    by_lease: bool,
    /// Addresses come to the interface that were not there.
    announce: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    epoch: u64,
    /// By fallback otherwise.
    by_lease: bool,
    since_unix_ms: u64,
    burst: Burst,
}

#[derive(Clone, Copy, Debug)]
struct Removing {
    why: &'static str,
    epoch: Option<u64>,
    retry_at: Option<BootInstant>,
}

/// What a state asks for.
#[derive(Debug)]
pub enum Wish {
    /// Send a lease message.
    Send(NodeId, LeaseMessage),
    /// Do something to the kernel or the network.
    Effect(Effect),
}

impl GroupState {
    /// A group that this node has just been told of.
    pub fn new(order: GroupOrder, holder: Holder, mut fallback: Fallback) -> Self {
        fallback.candidates_are(order.candidates.clone());
        Self {
            order,
            holder,
            fallback,
            probed: 0,
            refused: None,
            is_leaving: false,
            kept: BTreeSet::new(),
            placed: BTreeSet::new(),
            stale_due: None,
            lasts: None,
            installing: None,
            held: None,
            removing: None,
            barred: None,
        }
    }

    /// Its holder side.
    pub fn holder(&mut self) -> &mut Holder {
        &mut self.holder
    }

    /// The addresses under its lease.
    pub fn leased(&self) -> &BTreeSet<IpAddr> {
        self.holder.leased()
    }

    /// When the holder side is due.
    pub fn holder_deadline(&self) -> Option<BootInstant> {
        self.holder.deadline()
    }

    /// Where the holder side stands.
    pub fn state(&self) -> HolderState {
        self.holder.state()
    }

    /// The rules say something else of the group. What it no longer has goes from the interface at the next tick, which is due; what is new comes when a
    /// majority of the voters has granted it.
    pub fn set_order(&mut self, order: GroupOrder) {
        if self.order.group != order.group {
            self.refused = None;
        }
        self.fallback.candidates_are(order.candidates.clone());
        (self.order, self.is_leaving) = (order, false);
        self.look_for_stale();
    }

    /// What may be on interfaces because of it.
    pub fn placed(&self) -> &BTreeSet<Placement> {
        &self.placed
    }

    /// What the kernel said when it last would not take the addresses.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// It cannot be held here for this reason, or can again.
    pub fn set_barred(&mut self, barred: Option<&'static str>) {
        self.barred = barred;
    }

    /// Where its VIPs may be because of us: nowhere while it is at rest.
    pub fn claims(&self) -> BTreeSet<Placement> {
        let is_at_rest = self.held.is_none() && self.installing.is_none() && self.removing.is_none() && self.placed.is_empty();
        if is_at_rest { BTreeSet::new() } else { self.places() }
    }

    /// Where its VIPs are, while nothing is being put on or taken off; `None`: it is not held.
    pub fn held_at(&self) -> Option<&BTreeSet<Placement>> {
        let is_settled = self.held.is_some() && self.installing.is_none() && self.removing.is_none();
        is_settled.then_some(&self.placed)
    }

    /// Puts on again what is held, as far as somebody else has taken it off, and announces it.
    pub fn put_back(&mut self) -> Option<Effect> {
        let (until, epoch) = self.tenure()?;
        self.held_at()?;
        Some(self.install_and_announce(until, epoch))
    }

    /// What the worker is told.
    pub fn holding(&self) -> Holding {
        match self.held {
            Some(Held { epoch, since_unix_ms, by_lease: true, .. }) => Holding::Held { epoch, since_unix_ms },
            Some(Held { since_unix_ms, by_lease: false, .. }) => Holding::Fallback { since_unix_ms },
            None => Holding::NotHeld,
        }
    }

    /// Everything that is or may come to be on an interface.
    pub fn places(&self) -> BTreeSet<Placement> {
        self.of_the_rules().chain(self.placed.iter().cloned()).collect()
    }

    /// When [`GroupState::due`] has something to say.
    pub fn deadline(&self) -> Option<BootInstant> {
        let retry = self.removing.and_then(|removing| removing.retry_at);
        let announcement = self.held.map(|held| held.burst.deadline());
        [self.holder.deadline(), self.fallback.deadline(), retry, self.stale_due, announcement].into_iter().flatten().min()
    }

    /// What has come due beside the holder side's own deadline.
    pub fn due(&mut self, now: BootInstant) -> Option<Effect> {
        let retry = self.removing.as_mut().filter(|removing| removing.retry_at.is_some_and(|at| now >= at));
        if let Some(removing) = retry {
            removing.retry_at = None;
            return self.remove_act();
        }
        if self.stale_due.take_if(|at| now >= *at).is_some()
            && let Some((until, epoch)) = self.tenure()
        {
            return Some(self.install_act(until, false, epoch));
        }
        let held = self.held.as_mut()?;
        held.burst.take_due(now).then(|| self.announce_act())
    }

    /// What the holder side wants, in terms of interfaces and addresses.
    pub fn translate(&mut self, effect: HolderEffect) -> Option<Wish> {
        match effect {
            HolderEffect::Send { to, message } => Some(Wish::Send(to, message)),
            HolderEffect::Install { until, fresh: true, epoch } if self.goes_on_by_lease(epoch) => {
                Some(Wish::Effect(self.install_and_announce(until, epoch)))
            }
            HolderEffect::Install { until, fresh, epoch } => Some(Wish::Effect(match fresh || !self.outlasts(until) {
                true => self.install_act(until, fresh, epoch),
                false => {
                    let vips = self.placed.iter().map(|(_, vip)| *vip).collect();
                    Effect::Extend { vips, until, packets: self.order.packets }
                }
            })),
            HolderEffect::Remove { why } => {
                let epoch = self.held.take().map(|held| held.epoch);
                self.installing = None;
                let why = self.barred.unwrap_or(why);
                self.stale_due = None;
                self.removing = Some(Removing { why, epoch, retry_at: None });
                self.remove_act().map(Wish::Effect)
            }
        }
    }

    /// The driver did [`Effect::Install`]; the kernel keeps the addresses at least until `lasts`, and would not take off what is `left`.
    pub fn installed(&mut self, now: BootInstant, unix: Duration, lasts: BootInstant, left: BTreeSet<Placement>) {
        let Some(Installing { epoch, by_lease, announce }) = self.installing.take() else { return };
        self.refused = None;
        self.lasts = Some(lasts);
        self.stale_due = (!left.is_empty()).then(|| now + REMOVAL_RETRY);
        self.placed = self.wanted().chain(left).collect();
        let burst = Burst::start(now);
        match &mut self.held {
            None => {
                let since_unix_ms = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
                self.held = Some(Held { epoch, by_lease, since_unix_ms, burst });
            }
            Some(held) if announce => held.burst = burst,
            Some(_) => (),
        }
    }

    /// The driver could not do [`Effect::Install`].
    pub fn install_failed(&mut self, why: String) {
        self.refused = Some(why);
    }

    /// The driver did [`Effect::Remove`].
    pub fn removed(&mut self) {
        self.placed.clear();
        self.kept.clear();
        self.lasts = None;
        self.removing = None;
    }

    /// The driver could not do [`Effect::Remove`].
    pub fn removal_failed(&mut self, now: BootInstant) {
        if let Some(removing) = &mut self.removing {
            removing.retry_at = Some(now + REMOVAL_RETRY);
        }
    }

    /// Whether the lease, if there is one, is of that address.
    fn may_have(&self, address: IpAddr) -> bool {
        !self.holds_by_lease() || self.holder.leased().contains(&address)
    }

    fn holds_by_lease(&self) -> bool {
        matches!(self.holder.state(), HolderState::Holding { .. })
    }

    /// Whether `place`, which is placed, is to be there.
    fn has(&self, place: &Placement) -> bool {
        ((!self.is_leaving && self.is_of_the_rules(place)) || self.kept.contains(&place.1)) && self.may_have(place.1)
    }

    /// Whether something is placed that the group has not any more.
    fn has_stale(&self) -> bool {
        self.placed.iter().any(|place| !self.has(place))
    }

    /// What the group has not any more is to be taken off at the next tick, which is due.
    fn look_for_stale(&mut self) {
        self.stale_due = (self.held.is_some() && self.has_stale()).then(BootInstant::default);
    }

    /// Whether the group has `place` by the rules.
    pub(super) fn is_of_the_rules(&self, (interface, address): &Placement) -> bool {
        self.order.group.interface == *interface && self.order.group.addresses.contains(address)
    }

    fn name(&self) -> VipName {
        self.order.group.name.clone()
    }

    fn of_the_rules(&self) -> impl Iterator<Item = Placement> + '_ {
        let group = &self.order.group;
        group.addresses.iter().map(|address| (group.interface.clone(), *address))
    }

    /// What is to be there: what the group has by the rules or keeps for another one, as far as it is under the lease.
    fn wanted(&self) -> impl Iterator<Item = Placement> + '_ {
        let kept =
            self.placed.iter().filter(|place| self.kept.contains(&place.1) && (self.is_leaving || !self.is_of_the_rules(place)));
        self.of_the_rules().filter(|_| !self.is_leaving).chain(kept.cloned()).filter(|(_, address)| self.may_have(*address))
    }

    /// Whether the kernel keeps the group's addresses beyond a lease that ends at `until`, so that this renewal is no business of the kernel's. Its lifetimes are
    /// whole seconds, leases mostly shorter.
    fn outlasts(&self, until: BootInstant) -> bool {
        let kept = self.lasts.is_some_and(|lasts| lasts >= until + LIFETIME_MARGIN);
        kept && self.held.is_some() && !self.has_stale() && self.has_placed_all()
    }

    /// Whether all that the group has by the rules, as far as it is under the lease, is placed.
    fn has_placed_all(&self) -> bool {
        let placed = self.placed.iter().filter(|place| self.is_of_the_rules(place) && self.may_have(place.1)).count();
        self.is_leaving || placed == self.order.group.addresses.iter().filter(|address| self.may_have(**address)).count()
    }

    fn install_and_announce(&mut self, until: BootInstant, epoch: u64) -> Effect {
        let act = self.install_act(until, false, epoch);
        self.installing = self.installing.map(|installing| Installing { announce: true, ..installing });
        act
    }

    fn install_act(&mut self, until: BootInstant, fresh: bool, epoch: u64) -> Effect {
        let places: BTreeSet<Placement> = self.wanted().collect();
        let stale = self.placed.difference(&places).cloned().collect();
        let kept =
            if fresh || self.held.is_none() { BTreeSet::new() } else { self.placed.intersection(&places).cloned().collect() };
        let by_lease = self.holds_by_lease();
        // What was being taken off is wanted again.
        self.removing = None;
        self.installing = Some(Installing { epoch, by_lease, announce: fresh || !places.is_subset(&self.placed) });
        // They may be there from now on, whatever becomes of it.
        self.placed.extend(places.iter().cloned());
        Effect::Install {
            group: self.name(),
            places,
            kept,
            stale,
            until,
            fresh,
            epoch,
            fallback: !by_lease,
            packets: self.order.packets,
        }
    }

    fn remove_act(&self) -> Option<Effect> {
        let Removing { why, epoch, .. } = self.removing?;
        // Of a group that was held, nothing else can be there, and it has to be quick.
        let places = if epoch.is_some() { self.placed.clone() } else { self.places() };
        Some(Effect::Remove { group: self.name(), places, why, epoch })
    }

    /// IPv4 only: VIPs are (IPv6 neighbours would be told by unsolicited neighbour advertisements).
    fn announce_act(&self) -> Effect {
        Effect::Announce { group: self.name(), interface: self.order.group.interface.clone(), vips: self.vips().collect() }
    }
}
