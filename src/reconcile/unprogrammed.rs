//! Which IPVS services of a VIP group the kernel does not take as the rules want them. Pure.

use super::desired::Desired;
use crate::{
    kernel::{ServiceKey, Step, StepFailure},
    model::VipName,
    rules::ClusterState,
};
use std::collections::{BTreeMap, BTreeSet};

/// A group whose services are not all in the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unprogrammed {
    /// The IPVS services of the group that are not as they should be.
    pub failed: usize,
    /// Its IPVS services, one for each address and service.
    pub services: usize,
    /// The first failure.
    pub why: String,
}

/// For each group with such services. A service that is to go, and does not, serves nobody worse.
pub fn unprogrammed(state: &ClusterState, wanted: &Desired, failures: &[StepFailure]) -> BTreeMap<VipName, Unprogrammed> {
    let of_steps = failures.iter().filter_map(|failure| match &failure.step {
        Step::Ipvs(step) => Some((step.service(), failure)).filter(|(key, _)| wanted.services.contains_key(*key)),
        Step::Lo(_) | Step::Sysctl(_) => None,
    });
    let failed: Vec<(&ServiceKey, &StepFailure)> = of_steps.collect();
    let of_group = |name: &VipName| {
        let addresses = &state.rules.vips.get(name)?.addresses;
        let of_it: Vec<_> = failed.iter().filter(|(key, _)| addresses.contains(&key.address)).collect();
        Some(Unprogrammed {
            why: of_it.first()?.1.to_string(),
            failed: of_it.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>().len(),
            services: wanted.services.keys().filter(|key| addresses.contains(&key.address)).count(),
        })
    };
    // Almost always there is none.
    let groups = state.rules.vips.keys().filter(|_| !failed.is_empty());
    groups.filter_map(|name| Some((name.clone(), of_group(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{IpvsService, IpvsStep, LoStep, ServiceOptions, StepError},
        model::Scheduler,
        reconcile::fixture::{cluster, http, vip, vip_name},
    };

    fn refused(step: Step) -> StepFailure {
        StepFailure { step, error: StepError::Refused { errno: 2, explained: "no such scheduler".to_owned() } }
    }

    #[test]
    fn the_services_of_a_group_that_fail_are_counted_once_each() {
        let options = ServiceOptions::plain(Scheduler::Rr, vip());
        let key = |port| ServiceKey { port, ..http() };
        let service = || IpvsService { options: options.clone(), dests: BTreeMap::new() };
        let wanted = Desired { services: [80, 81, 82].map(|port| (key(port), service())).into(), ..Desired::default() };
        let add = |port| Step::Ipvs(IpvsStep::AddService(key(port), options.clone()));
        let edit = |port| Step::Ipvs(IpvsStep::EditService(key(port), options.clone()));
        let found = |steps: Vec<Step>| {
            let failures: Vec<StepFailure> = steps.into_iter().map(refused).collect();
            unprogrammed(&cluster(), &wanted, &failures)
        };
        let one = found(vec![add(81), edit(81), add(80)]);
        let why = format!("cannot {}: no such scheduler (errno 2)", add(81));
        assert_eq!(one, [(vip_name(), Unprogrammed { failed: 2, services: 3, why })].into());
        // Neither what is to go nor what is no service.
        assert_eq!(found(vec![Step::Ipvs(IpvsStep::RemoveService(key(99))), Step::Lo(LoStep::Add(vip()))]), BTreeMap::new());
    }
}
