//! How long before the end of its lease a group is taken off: what the removal of all that this node has takes, as the last removals have shown.

use super::Leases;
use crate::{clock::BootInstant, guard::effect::Effect};
use std::time::Duration;

/// What removals take varies: twice that is kept free.
const SAFETY: u32 = 2;
/// No more than this part of a lease is kept free, so that there is time to renew it.
const LARGEST_PART: u32 = 6;
/// How fast a slow removal is forgotten: the estimate falls by an eighth with each that is quicker.
const FORGETS: u32 = 8;

/// What removals take: from when the first of some that follow each other is asked for until the last is done.
#[derive(Clone, Debug, Default)]
pub(super) struct Removals {
    each: Duration,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    begun: BootInstant,
    groups: usize,
    addresses: u32,
}

impl Removals {
    /// A group's addresses are to be removed.
    fn begin(&mut self, addresses: usize, now: BootInstant) {
        let under_way = self.under_way.get_or_insert(UnderWay { begun: now, groups: 0, addresses: 0 });
        under_way.groups += 1;
        under_way.addresses = under_way.addresses.saturating_add(u32::try_from(addresses).unwrap_or(u32::MAX));
    }

    /// A group's addresses have been removed, or that failed.
    pub fn end(&mut self, now: BootInstant) {
        let Some(under_way) = &mut self.under_way else { return };
        under_way.groups -= 1;
        if under_way.groups == 0 {
            let each = (now - under_way.begun) / under_way.addresses.max(1);
            self.each = each.max(self.each - self.each / FORGETS);
            self.under_way = None;
        }
    }

    /// What is to be kept free for the removal of so many addresses: `least`, at least.
    fn reserve(&self, addresses: usize, least: Duration, ttl: Duration) -> Duration {
        let addresses = u32::try_from(addresses).unwrap_or(u32::MAX);
        let wanted = self.each.saturating_mul(addresses).saturating_mul(SAFETY);
        wanted.clamp(least, least.max(ttl / LARGEST_PART))
    }
}

impl Leases {
    /// Takes note of what the driver is to do.
    pub(super) fn note_removal(&mut self, act: &Effect, now: BootInstant) {
        if let Effect::Remove { places, .. } = act {
            self.removals.begin(places.len(), now);
        }
    }

    /// The number of addresses that this node has, or what their removal takes, has changed.
    pub(super) fn keep_time_for_removals(&mut self) {
        let addresses = self.groups_here.values().map(|state| state.placed().len()).sum();
        let learned = if self.toggles.learned_reserve {
            self.removals.reserve(addresses, self.timing.removal, self.timing.ttl)
        } else {
            self.timing.removal
        };
        self.groups_here.values_mut().for_each(|state| state.holder().keep_free(learned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = Duration::from_millis(15);
    const TTL: Duration = Duration::from_millis(300);

    fn at(ms: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(ms))
    }

    #[test]
    fn the_reserve_grows_with_what_removals_take_and_with_the_addresses() {
        let mut removals = Removals::default();
        assert_eq!(removals.reserve(64, LEAST, TTL), LEAST);
        removals.begin(6, at(100));
        removals.begin(2, at(100));
        removals.end(at(103));
        assert_eq!(removals.reserve(64, LEAST, TTL), LEAST, "not all are done");
        removals.end(at(104));
        assert_eq!(removals.reserve(4, LEAST, TTL), LEAST);
        assert_eq!(removals.reserve(20, LEAST, TTL), Duration::from_millis(20), "half a millisecond each, twice");
        assert_eq!(removals.reserve(1000, LEAST, TTL), Duration::from_millis(50), "no more than a sixth of the lease");
    }

    #[test]
    fn a_slow_removal_is_forgotten_by_and_by() {
        let mut removals = Removals::default();
        removals.begin(1, at(0));
        removals.end(at(8));
        let reserve = |removals: &Removals| removals.reserve(2, LEAST, TTL);
        assert_eq!(reserve(&removals), Duration::from_millis(32));
        for n in 1..=10 {
            removals.begin(1, at(100 * n));
            removals.end(at(100 * n));
        }
        assert_eq!(reserve(&removals), LEAST);
    }
}
