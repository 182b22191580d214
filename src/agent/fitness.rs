//! How fit this director is to hold each VIP group, as it is told: it falls once a reason has stood the test, and rises when the reason has been gone for a
//! steady time. Pure.

use crate::{
    clock::BootInstant,
    model::{Fitness, LessFit, LessFitGroups, ServiceName, TimingProfile, VipName},
    reconcile::LostPool,
    rules::ClusterState,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A fitness rises only when nothing worse was found for so long, so that a fault that comes and goes moves no VIP back and forth. A worker that
/// has just started says nothing good of itself for as long: its predecessor may have known better.
pub const STEADY: Duration = Duration::from_secs(5);
/// The time from an observer's first failed probe to the first failed probe of the others, less the way of the news (`health::schedule`).
const ALARM: Duration = Duration::from_millis(100);

/// What speaks against this director at a time.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The rules.
    pub state: &'a ClusterState,
    /// The pools of which this director alone does not reach most.
    pub lost: &'a BTreeMap<ServiceName, LostPool>,
    /// What else speaks against it, with the fitness that it leaves.
    pub against: &'a [(VipName, Fitness, String)],
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct OwnFitness {
    settle: Duration,
    started: BootInstant,
    pools: BTreeMap<ServiceName, Loss>,
    groups: BTreeMap<VipName, Group>,
    /// It is known well enough to be told.
    is_known: bool,
}

/// A pool of which most is not reached, or was not until just now.
#[derive(Clone, Copy, Debug)]
struct Loss {
    /// How much of it was not reached last.
    pool: LostPool,
    since: BootInstant,
    /// It has lasted long enough for the others to have found the servers down, too, if they were.
    is_settled: bool,
    ended: Option<BootInstant>,
}

/// A group for which it is less fit.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    told: LessFit,
    rising: Option<Rise>,
}

/// It has been fitter than is told.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rise {
    since: BootInstant,
    /// The worst since then; `None`: nothing spoke against it.
    worst: Option<LessFit>,
}

impl OwnFitness {
    /// At the start of a worker.
    pub fn new(timing: TimingProfile, now: BootInstant) -> Self {
        // The news of a failed probe go to another observer, which probes, and the news of that come back.
        let settle = timing.gossip_interval() * 2 + ALARM;
        Self { settle, started: now, pools: BTreeMap::new(), groups: BTreeMap::new(), is_known: false }
    }

    /// Takes in what there is at `now`.
    pub fn step(&mut self, evidence: &Evidence<'_>, now: BootInstant) {
        self.follow_pools(evidence, now);
        let found = self.found(evidence);
        self.groups.retain(|vip, _| evidence.state.rules.vips.contains_key(vip));
        let vips: BTreeSet<VipName> = self.groups.keys().chain(found.keys()).cloned().collect();
        for vip in vips {
            self.follow_group(&vip, found.get(&vip), now);
        }
        self.is_known |= !self.groups.is_empty() || now >= self.started + STEADY;
    }

    /// The groups for which this director is less fit; `None` before it is known.
    pub fn less_fit(&self) -> Option<LessFitGroups> {
        self.is_known.then(|| self.groups.iter().map(|(vip, group)| (vip.clone(), group.told.clone())).collect())
    }

    /// The pools of which this director alone does not reach most, and those that it has reached again only just now.
    pub fn lost(&self) -> impl Iterator<Item = (&ServiceName, LostPool)> {
        self.pools.iter().map(|(service, loss)| (service, loss.pool))
    }

    /// When [`OwnFitness::step`] is due though nothing has changed.
    pub fn deadline(&self) -> Option<BootInstant> {
        let pools = self.pools.values().filter_map(|loss| match loss.ended {
            Some(ended) => Some(ended + STEADY),
            None if loss.is_settled => None,
            None => Some(loss.since + self.settle),
        });
        let groups = self.groups.values().filter_map(|group| Some(group.rising.as_ref()?.since + STEADY));
        let start = (!self.is_known).then(|| self.started + STEADY);
        pools.chain(groups).chain(start).min()
    }

    fn follow_pools(&mut self, evidence: &Evidence<'_>, now: BootInstant) {
        for (service, pool) in evidence.lost {
            let fresh = Loss { pool: *pool, since: now, is_settled: false, ended: None };
            let loss = self.pools.entry(service.clone()).or_insert(fresh);
            loss.is_settled |= now >= loss.since + self.settle;
            (loss.pool, loss.ended) = (*pool, None);
        }
        for (service, loss) in &mut self.pools {
            if !evidence.lost.contains_key(service) {
                loss.ended.get_or_insert(now);
            }
        }
        self.pools.retain(|_, loss| loss.ended.is_none_or(|ended| loss.is_settled && now < ended + STEADY));
    }

    /// What speaks against it now: the worst counts, and all reasons are told, the worst first.
    fn found(&self, evidence: &Evidence<'_>) -> LessFitGroups {
        let settled = evidence.lost.iter().filter(|(service, _)| self.pools.get(service).is_some_and(|loss| loss.is_settled));
        let of_pools = settled.filter_map(|(name, LostPool { reached, servers })| {
            let vip = &evidence.state.rules.services.get(name)?.vip;
            let word = if *servers == 1 { "server" } else { "servers" };
            Some((vip.clone(), Fitness::share(*reached, *servers), format!("reaches {reached} of {servers} {word} of {name}")))
        });
        let mut all: Vec<(VipName, Fitness, String)> = of_pools.chain(evidence.against.iter().cloned()).collect();
        all.retain(|(vip, fitness, _)| *fitness < Fitness::WELL && evidence.state.rules.vips.contains_key(vip));
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut found = LessFitGroups::new();
        for (vip, fitness, why) in all {
            found.entry(vip).and_modify(|less| less.why += &format!("; {why}")).or_insert(LessFit { fitness, why });
        }
        found
    }

    fn follow_group(&mut self, vip: &VipName, found: Option<&LessFit>, now: BootInstant) {
        let fitness = |less: Option<&LessFit>| less.map_or(Fitness::WELL, |less| less.fitness);
        let Some(group) = self.groups.get_mut(vip) else {
            self.groups.extend(found.map(|found| (vip.clone(), Group { told: found.clone(), rising: None })));
            return;
        };
        if let Some(found) = found.filter(|found| found.fitness <= group.told.fitness) {
            *group = Group { told: found.clone(), rising: None };
            return;
        }
        let rise = group.rising.get_or_insert_with(|| Rise { since: now, worst: found.cloned() });
        if fitness(found) <= fitness(rise.worst.as_ref()) {
            rise.worst = found.cloned();
        }
        if now < rise.since + STEADY {
            return;
        }
        match rise.worst.take() {
            Some(worst) => {
                // What may be better still has to prove itself anew.
                let rising = (fitness(found) > worst.fitness).then(|| Rise { since: now, worst: found.cloned() });
                *group = Group { told: worst, rising };
            }
            None => drop(self.groups.remove(vip)),
        }
    }
}

#[cfg(test)]
mod tests;
