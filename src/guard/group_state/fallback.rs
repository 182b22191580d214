//! A group's fallback on this node: what it is told of the holder side, and what it wants in terms of interfaces and addresses. Pure.

use super::{GroupState, Held, Wish};
use crate::{
    clock::BootInstant,
    guard::effect::Effect,
    model::{Fitness, OnQuorumLoss},
    vip::{Circumstances, FallbackEffect, FallbackEvent, HolderEffect, HolderState, LeaseMessage, LeaseSide},
};
use std::net::{IpAddr, Ipv4Addr};

/// Where a group's fallback stands, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FallbackStanding {
    /// No majority of the voters answers, and this director takes part in the election of a fallback holder.
    Elects,
    /// It holds the group by fallback.
    Holds,
}

impl GroupState {
    /// Call it with what concerns the fallback, and after every step of the holder side.
    pub fn step_fallback(&mut self, event: FallbackEvent, now: BootInstant) -> Vec<Wish> {
        let circumstances = self.circumstances(now);
        let effects = self.fallback.step(event, circumstances, now);
        self.holder.ask_dry_until(self.fallback.asks_dry_until());
        let fitness = circumstances.may.unwrap_or(Fitness::NONE);
        effects.into_iter().filter_map(|effect| self.of_fallback(effect, fitness)).collect()
    }

    /// When the fallback is due.
    pub fn fallback_deadline(&self) -> Option<BootInstant> {
        self.fallback.deadline()
    }

    /// Where the fallback stands; `None`: a majority answers.
    pub fn fallback_standing(&self) -> Option<FallbackStanding> {
        match self.fallback.until() {
            Some(_) => Some(FallbackStanding::Holds),
            None => self.fallback.is_active().then_some(FallbackStanding::Elects),
        }
    }

    /// Whose ARP frames concern the fallback now: of these addresses, on this interface.
    pub fn watched_by_fallback(&self) -> Option<(&str, impl Iterator<Item = Ipv4Addr> + '_)> {
        let interface = self.order.group.interface.as_str();
        self.fallback.is_active().then(|| (interface, self.vips()))
    }

    /// It has let go for good, and so has the fallback.
    pub fn is_retired(&self) -> bool {
        self.holder.state() == HolderState::Retired && self.fallback.is_at_rest() && self.removing.is_none()
    }

    /// Until when this node has the group, by lease or by fallback, and the label of that holding.
    pub(super) fn tenure(&self) -> Option<(BootInstant, u64)> {
        match self.holder.state() {
            HolderState::Holding { until, epoch } => Some((until, epoch)),
            HolderState::Idle | HolderState::Asking | HolderState::Removing | HolderState::Retired => {
                Some((self.fallback.until()?, 0))
            }
        }
    }

    /// Whether the lease that was just won goes on with what this node has by fallback.
    pub(super) fn goes_on_by_lease(&mut self, label: u64) -> bool {
        match &mut self.held {
            Some(held @ Held { by_lease: false, .. }) => {
                (held.by_lease, held.epoch) = (true, label);
                true
            }
            Some(_) | None => false,
        }
    }

    fn circumstances(&self, now: BootInstant) -> Circumstances {
        let lease = match self.holder.state() {
            HolderState::Holding { .. } => LeaseSide::Holds,
            HolderState::Idle | HolderState::Asking => LeaseSide::Free,
            HolderState::Removing | HolderState::Retired => LeaseSide::Busy,
        };
        let may = self.holder.may_hold(now).filter(|_| self.order.group.on_quorum_loss == OnQuorumLoss::Fallback);
        let (unanswered_since, was_answered) = (self.holder.unanswered_since(), self.holder.has_been_answered());
        Circumstances { may, lease, unanswered_since, was_answered }
    }

    fn of_fallback(&mut self, effect: FallbackEffect, fitness: Fitness) -> Option<Wish> {
        match effect {
            FallbackEffect::Send { to, standing } => {
                Some(Wish::Send(to, LeaseMessage::Advert { group: self.name(), standing, fitness }))
            }
            FallbackEffect::Probe { all } => {
                let vips: Vec<Ipv4Addr> = self.vips().collect();
                let one = self.probed.checked_rem(vips.len()).and_then(|nth| vips.get(nth).copied());
                self.probed = self.probed.wrapping_add(1);
                let vips = if all { vips } else { one.into_iter().collect() };
                let interface = self.order.group.interface.clone();
                Some(Wish::Effect(Effect::Probe { group: self.name(), interface, vips }))
            }
            FallbackEffect::Take { until, fresh } => self.translate(HolderEffect::Install { until, fresh, epoch: 0 }),
            FallbackEffect::Remove { why } => self.translate(HolderEffect::Remove { why }),
        }
    }

    /// Those that may be on the interface. IPv4 only: VIPs are.
    pub(super) fn vips(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let vips = self.order.group.addresses.iter().filter(|address| self.may_have(**address));
        vips.filter_map(|address| match address {
            IpAddr::V4(vip) => Some(*vip),
            IpAddr::V6(_) => None,
        })
    }
}
