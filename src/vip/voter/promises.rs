//! What a voter has promised: each group by its name to one node, and with it addresses, of which each has one node, whatever the groups are called.

use super::ask::ReceivedAsk;
use crate::{
    clock::BootInstant,
    model::{NodeId, VipName},
    vip::{
        message::{Life, RefusalReason, Round},
        rule_toggles::RuleToggles,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Most addresses that a voter promises of one group: those of an ask, and as many again that earlier lives of its holder have asked for.
const MOST_ADDRESSES: usize = 1024;

/// All promises, and what else is remembered of each group.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    groups: BTreeMap<VipName, GroupRecord>,
    /// The groups whose promises have each address.
    by_address: BTreeMap<IpAddr, BTreeSet<VipName>>,
}

/// What a voter remembers of one group.
#[derive(Clone, Debug, Default)]
struct GroupRecord {
    promise: Option<Promise>,
    last_rounds: BTreeMap<NodeId, Round>,
    epoch: u64,
}

/// A grant: until it ends, the voter grants the group to no other node, nor any of its addresses.
#[derive(Clone, Debug)]
struct Promise {
    holder: NodeId,
    round: Round,
    life: Life,
    ends: Ends,
    /// Each ends with the promise, or sooner, if the group no longer has it.
    addresses: BTreeMap<IpAddr, Ends>,
}

/// When a promise ends.
#[derive(Clone, Copy, Debug)]
struct Ends {
    until: BootInstant,
    /// Until then a grant to another life of that holder may still count, so nothing that this life says ends the promise sooner.
    other_lives_until: BootInstant,
}

impl Ends {
    /// `before`: what it renews.
    fn renewed(until: BootInstant, before: Option<Ends>, same_life: bool, toggles: RuleToggles) -> Self {
        let Some(before) = before else { return Self { until, other_lives_until: BootInstant::default() } };
        let other_lives_until = if same_life { before.other_lives_until } else { before.until };
        Self { until: if toggles.max_of_until { until.max(before.until) } else { until }, other_lives_until }
    }

    fn released(self) -> Self {
        Self { until: self.other_lives_until, ..self }
    }
}

/// An address that is promised to a node, for another group than the one that is asked for.
struct Taken {
    by: NodeId,
    until: BootInstant,
}

impl Promises {
    /// The last promise for a group: the holder, and until when. It may have run out.
    pub fn of(&self, group: &VipName) -> Option<(NodeId, BootInstant)> {
        self.groups.get(group)?.promise.as_ref().map(|promise| (promise.holder, promise.ends.until))
    }

    /// Whether `node` has the promise of a group.
    pub fn are_with(&self, node: NodeId, group: &VipName, now: BootInstant) -> bool {
        self.of(group).is_some_and(|(holder, until)| holder == node && until > now)
    }

    /// Nothing is remembered.
    #[cfg(test)]
    pub fn are_none(&self) -> bool {
        self.groups.is_empty() && self.by_address.is_empty()
    }

    /// The greatest epoch seen of a group.
    pub fn epoch(&self, group: &VipName) -> Option<u64> {
        self.groups.get(group).map(|record| record.epoch)
    }

    /// Forgets what the rules no longer name, except promises that still run; the last round of their holder is in them.
    pub fn forget_all_but(&mut self, candidates: &BTreeMap<VipName, Vec<NodeId>>, now: BootInstant) {
        self.groups.retain(|group, record| {
            let allowed = candidates.get(group).map_or(&[][..], Vec::as_slice);
            record.last_rounds.retain(|node, _| allowed.contains(node));
            record.promise.take_if(|promise| promise.ends.until <= now);
            record.promise.is_some() || !allowed.is_empty()
        });
        self.by_address.retain(|address, groups| {
            groups.retain(|group| self.groups.get(group).is_some_and(|record| record.has_promised(*address)));
            !groups.is_empty()
        });
    }

    /// Takes in the round and the epoch of an ask. A round that is not greater than the last one is refused, where that is `enforced`.
    pub fn see(&mut self, group: &VipName, asked: &ReceivedAsk, enforced: bool) -> Result<(), RefusalReason> {
        let record = self.groups.entry(group.clone()).or_default();
        record.epoch = record.epoch.max(asked.epoch);
        let promised = record.promise.as_ref().filter(|promise| promise.holder == asked.from).map(|promise| promise.round);
        let last = record.last_rounds.get(&asked.from).copied().max(promised);
        record.last_rounds.insert(asked.from, asked.round.max(last.unwrap_or(0)));
        match last {
            Some(last) if asked.round <= last && enforced => Err(RefusalReason::OldRound { last }),
            _ => Ok(()),
        }
    }

    /// Promises the group, and those of its addresses that no other node has; returns the others. Shortly after a change of the rules (`in_transition`) the
    /// nodes that have addresses come first: whoever has none of those that it asks for gets nothing if another has any.
    pub fn make(
        &mut self,
        group: &VipName,
        asked: &ReceivedAsk,
        in_transition: bool,
        toggles: RuleToggles,
        now: BootInstant,
    ) -> Result<BTreeSet<IpAddr>, RefusalReason> {
        let running = self.running(group, now);
        if let Some(promise) = running.filter(|promise| promise.holder != asked.from) {
            return Err(RefusalReason::Held { by: promise.holder, remaining: promise.ends.until - now });
        }
        let taken = if toggles.by_address { self.taken(group, asked, now) } else { BTreeMap::new() };
        let has_some = || asked.addresses.iter().any(|address| self.has(asked.from, *address, now));
        let goes_first = running.is_some() || (taken.len() < asked.addresses.len() && (!in_transition || has_some()));
        if let Some(first_free) = taken.values().min_by_key(|taken| taken.until).filter(|_| !goes_first) {
            return Err(RefusalReason::Held { by: first_free.by, remaining: first_free.until - now });
        }
        let lacking: BTreeSet<IpAddr> = taken.into_keys().collect();
        if !asked.dry && !self.is_renewed_in_place(group, asked, &lacking, toggles, now) {
            let running = self.running(group, now);
            let promise = Promise::renewed(running, asked, &lacking, toggles, now);
            if promise.addresses.len() > MOST_ADDRESSES {
                return Err(RefusalReason::Held { by: asked.from, remaining: promise.ends.until - now });
            }
            self.replace(group, promise);
        }
        Ok(lacking)
    }

    /// A holder has let go.
    pub fn release(
        &mut self,
        group: &VipName,
        from: NodeId,
        (round, life): (Round, Life),
        toggles: RuleToggles,
        now: BootInstant,
    ) {
        let Some(record) = self.groups.get_mut(group) else { return };
        let any_life = !toggles.own_life;
        let ended = record.promise.take_if(|promise| {
            let released = promise.holder == from && promise.round <= round && (promise.life == life || any_life);
            if released {
                promise.ends = promise.ends.released();
                promise.addresses.values_mut().for_each(|ends| *ends = ends.released());
            }
            released && (promise.ends.until <= now || any_life)
        });
        // An ask of this round that arrives after the release must not be granted: no holder would use that promise.
        if let Some(last) = record.last_rounds.get_mut(&from) {
            *last = round.max(*last);
        }
        for address in ended.into_iter().flat_map(|promise| promise.addresses.into_keys()) {
            self.forget_address(address, group);
        }
    }

    fn running(&self, group: &VipName, now: BootInstant) -> Option<&Promise> {
        self.groups.get(group)?.promise.as_ref().filter(|promise| promise.ends.until > now)
    }

    /// Most renewals ask for what has been promised already: nothing is made anew then.
    fn is_renewed_in_place(
        &mut self,
        group: &VipName,
        asked: &ReceivedAsk,
        lacking: &BTreeSet<IpAddr>,
        toggles: RuleToggles,
        now: BootInstant,
    ) -> bool {
        let is_same = |promise: &&mut Promise| {
            let same_node = promise.holder == asked.from && promise.life == asked.life && promise.ends.until > now;
            same_node && lacking.is_empty() && promise.addresses.keys().eq(asked.addresses.iter())
        };
        let Some(promise) = self.groups.get_mut(group).and_then(|record| record.promise.as_mut()).filter(is_same) else {
            return false;
        };
        promise.round = asked.round;
        for ends in promise.addresses.values_mut().chain([&mut promise.ends]) {
            *ends = Ends::renewed(now + toggles.promised(asked.ttl), Some(*ends), true, toggles);
        }
        true
    }

    fn replace(&mut self, group: &VipName, promise: Promise) {
        for address in promise.addresses.keys() {
            self.by_address.entry(*address).or_default().insert(group.clone());
        }
        let Some(record) = self.groups.get_mut(group) else { return };
        let gone = |before: &Promise| -> Vec<IpAddr> {
            before.addresses.keys().copied().filter(|address| !promise.addresses.contains_key(address)).collect()
        };
        let gone = record.promise.as_ref().map(gone).unwrap_or_default();
        record.promise = Some(promise);
        for address in gone {
            self.forget_address(address, group);
        }
    }

    fn forget_address(&mut self, address: IpAddr, group: &VipName) {
        if let Some(groups) = self.by_address.get_mut(&address) {
            groups.remove(group);
            if groups.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    /// Which addresses of an ask other nodes have, for other groups.
    fn taken(&self, group: &VipName, asked: &ReceivedAsk, now: BootInstant) -> BTreeMap<IpAddr, Taken> {
        let taken = |address: &IpAddr| {
            let others =
                self.promised_with(*address, now).filter(|(other, promise, _)| *other != group && promise.holder != asked.from);
            let last = others.max_by_key(|(_, _, until)| *until)?;
            Some((*address, Taken { by: last.1.holder, until: last.2 }))
        };
        asked.addresses.iter().filter_map(taken).collect()
    }

    fn has(&self, node: NodeId, address: IpAddr, now: BootInstant) -> bool {
        self.promised_with(address, now).any(|(_, promise, _)| promise.holder == node)
    }

    /// The promises that have an address, and until when they have it.
    fn promised_with(&self, address: IpAddr, now: BootInstant) -> impl Iterator<Item = (&VipName, &Promise, BootInstant)> {
        let groups = self.by_address.get(&address).into_iter().flatten();
        groups.filter_map(move |group| {
            let promise = self.groups.get(group)?.promise.as_ref()?;
            let until = promise.addresses.get(&address)?.until;
            (until > now).then_some((group, promise, until))
        })
    }
}

impl GroupRecord {
    fn has_promised(&self, address: IpAddr) -> bool {
        self.promise.as_ref().is_some_and(|promise| promise.addresses.contains_key(&address))
    }
}

impl Promise {
    /// What follows from an ask of the same node that is granted. An address that the asker has in no group any more, as far as it says, is free at once:
    /// it names an address as long as that is on its interface.
    fn renewed(
        running: Option<&Promise>,
        asked: &ReceivedAsk,
        lacking: &BTreeSet<IpAddr>,
        toggles: RuleToggles,
        now: BootInstant,
    ) -> Promise {
        let until = now + toggles.promised(asked.ttl);
        let same_life = running.is_some_and(|promise| promise.life == asked.life);
        let renewed = |before: Option<Ends>| Ends::renewed(until, before, same_life, toggles);
        let before = |address: &IpAddr| running.and_then(|promise| promise.addresses.get(address)).copied();
        let former = running.map(|promise| &promise.addresses).into_iter().flatten();
        let left = |ends: &Ends| if same_life { ends.released() } else { Ends { other_lives_until: ends.until, ..*ends } };
        let former = former.map(|(address, ends)| (*address, left(ends))).filter(|(_, ends)| ends.until > now);
        let granted = asked.addresses.difference(lacking).map(|address| (*address, renewed(before(address))));
        let addresses = former.chain(granted).collect();
        let ends = renewed(running.map(|promise| promise.ends));
        Promise { holder: asked.from, round: asked.round, life: asked.life, ends, addresses }
    }
}
