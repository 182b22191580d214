//! How fit this director is for its VIP groups: from what it sees itself and what others say, to the guard.

use super::{FanOut, is_director};
use crate::{
    agent::{fitness::Evidence, projections},
    clock::BootInstant,
    gossip::ClusterView,
    guard::GuardGone,
    health::track::tracked,
    model::{Fitness, LessFitGroups, NodeName, ServiceName, VipName},
    reconcile::{LostPool, ReachInput, ReconcileReport, Unprogrammed, VipsReady, lost_pools},
    rules::{ClusterState, Target},
    verdict::Observation,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a fitness is made from: the rules, what others say, what this node observes, where VIPs are ready.
type Known<'a> = (&'a ClusterState, &'a ClusterView, &'a BTreeMap<Target, Observation>, &'a BTreeMap<NodeName, VipsReady>);

impl FanOut {
    /// The groups for which this director is less fit, once that is known, and the pools that it keeps whole.
    pub(super) fn fit(
        &mut self,
        known: Known<'_>,
        report: &ReconcileReport,
        now: BootInstant,
    ) -> (Option<LessFitGroups>, BTreeSet<ServiceName>) {
        let (state, view, own, in_place) = known;
        if !is_director(state, &self.config) {
            // It takes note of the time all the same.
            self.fitness.step(&Evidence { state, lost: &BTreeMap::new(), against: &[] }, now);
            return Default::default();
        }
        let against = self.against(state, report);
        let me = &self.config.node;
        let lost = lost_pools(&ReachInput { me, state, in_place, own, heard: &view.observer_reports() });
        self.fitness.step(&Evidence { state, lost: &lost, against: &against }, now);
        // Where no other director does better, what cannot be reached is left out: nobody else would forward to it.
        let others_do_better = |service: &ServiceName, pool: LostPool| {
            let fitness = Fitness::share(pool.reached, pool.servers);
            let vip = state.rules.services.get(service).map(|service| &service.vip);
            vip.is_some_and(|vip| projections::fitter_director(state, view, me, vip, fitness))
        };
        let kept = self.fitness.lost().filter(|(service, pool)| others_do_better(service, *pool));
        (self.fitness.less_fit(), kept.map(|(service, _)| service.clone()).collect())
    }

    /// What speaks against this director besides what it does not reach.
    fn against(&mut self, state: &ClusterState, report: &ReconcileReport) -> Vec<(VipName, Fitness, String)> {
        let of_kernel = report.unprogrammed.iter().map(|(vip, Unprogrammed { failed, services, why })| {
            let reason = format!("{failed} of {services} IPVS services are not in its kernel as they should be: {why}");
            (vip.clone(), Fitness::share(services.saturating_sub(*failed), *services), reason)
        });
        let findings = self.sources.tracks.borrow_and_update().clone();
        let of_tracks = tracked(&self.config.tracks, &findings, state.rules.vips.keys());
        of_kernel.chain(of_tracks).collect()
    }

    /// Says nothing before it is known: what an earlier worker said stands.
    pub(super) fn tell_fitness(&mut self, loaded: bool, less_fit: &Option<LessFitGroups>) -> Result<(), GuardGone> {
        let Some(less_fit) = less_fit.as_ref().filter(|less_fit| loaded && self.told.less_fit.as_ref() != Some(less_fit)) else {
            return Ok(());
        };
        let fitness =
            |groups: &LessFitGroups| -> BTreeMap<_, _> { groups.iter().map(|(vip, less)| (vip.clone(), less.fitness)).collect() };
        let (now, told) = (fitness(less_fit), self.told.less_fit.as_ref().map(fitness));
        let before = |vip: &VipName| told.as_ref().and_then(|told| told.get(vip)).copied().unwrap_or(Fitness::WELL);
        for (vip, less) in less_fit.iter().filter(|(vip, less)| before(vip) != less.fitness) {
            tracing::warn!(%vip, from = %before(vip), to = %less.fitness, why = less.why, "fitness to hold a vip changed");
        }
        for (vip, from) in told.iter().flatten().filter(|(vip, _)| !less_fit.contains_key(vip)) {
            tracing::info!(%vip, %from, to = %Fitness::WELL, "fitness to hold a vip changed");
        }
        if told.as_ref() != Some(&now) {
            self.sinks.guard.fitness(now)?;
        }
        self.told.less_fit = Some(less_fit.clone());
        Ok(())
    }
}
