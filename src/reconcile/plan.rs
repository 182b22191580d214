//! Computes the fewest steps from what the kernel has to what it should have, in a safe order. Pure.

use super::desired::Desired;
use crate::kernel::{IpvsService, IpvsStep, KernelState, LoStep, ServiceKey, Step, SysctlStep};
use std::{collections::BTreeSet, net::IpAddr};

/// The steps that lead from `observed` to `desired`, empty when there is nothing to do.
///
/// The cluster's are services and `lo` addresses on its VIPs: those of the rules, and those in `owned`, which were in the rules before. Nothing else is
/// touched. The order is: remove VIPs from `lo`, then restore ARP settings; tune IPVS, then change services, so that the connections of a removed
/// server end with it, then restore IPVS settings; silence ARP, then put VIPs on `lo`, so that no VIP is there without ARP silence.
pub fn plan(desired: &Desired, observed: &KernelState, owned: &BTreeSet<IpAddr>) -> Vec<Step> {
    let is_ours = |address: &IpAddr| desired.vips.contains(address) || owned.contains(address);
    let mut steps = Vec::new();
    let stale_vips = observed.lo_addresses.iter().filter(|address| is_ours(address) && !desired.lo_vips.contains(address));
    steps.extend(stale_vips.map(|address| Step::Lo(LoStep::Remove(*address))));
    if desired.lo_vips.is_empty() && observed.arp.former_kept {
        steps.push(Step::Sysctl(SysctlStep::RestoreArp));
    }
    if desired.directs && !observed.ipvs.in_force {
        steps.push(Step::Sysctl(SysctlStep::TuneIpvs));
    }
    let stale_services = observed.services.keys().filter(|key| is_ours(&key.address) && !desired.services.contains_key(key));
    steps.extend(stale_services.map(|key| Step::Ipvs(IpvsStep::RemoveService(*key))));
    for (key, service) in &desired.services {
        plan_service(key, service, observed.services.get(key), &mut steps);
    }
    if !desired.directs && observed.ipvs.former_kept {
        steps.push(Step::Sysctl(SysctlStep::RestoreIpvs));
    }
    if !desired.lo_vips.is_empty() && !observed.arp.in_force {
        steps.push(Step::Sysctl(SysctlStep::SilenceArp));
    }
    steps.extend(desired.lo_vips.difference(&observed.lo_addresses).map(|address| Step::Lo(LoStep::Add(*address))));
    steps
}

/// Additions come before removals, so that a pool is never empty in between.
fn plan_service(key: &ServiceKey, desired: &IpvsService, observed: Option<&IpvsService>, steps: &mut Vec<Step>) {
    match observed {
        None => steps.push(Step::Ipvs(IpvsStep::AddService(*key, desired.options.clone()))),
        Some(observed) if observed.options != desired.options => {
            steps.push(Step::Ipvs(IpvsStep::EditService(*key, desired.options.clone())))
        }
        Some(_) => {}
    }
    let present = |dest| observed.and_then(|service| service.dests.get(dest));
    let missing = desired.dests.iter().filter(|(dest, _)| present(dest).is_none());
    steps.extend(missing.map(|(dest, to)| Step::Ipvs(IpvsStep::AddDest(*key, *dest, *to))));
    let different = desired.dests.iter().filter(|(dest, to)| present(dest).is_some_and(|is| is != *to));
    steps.extend(different.map(|(dest, to)| Step::Ipvs(IpvsStep::EditDest(*key, *dest, *to))));
    let stale = observed.into_iter().flat_map(|service| &service.dests).filter(|(dest, _)| !desired.dests.contains_key(dest));
    steps.extend(stale.map(|(dest, is)| Step::Ipvs(IpvsStep::RemoveDest(*key, *dest, *is))));
}

/// The foreign services: those on no VIP of the cluster.
pub fn foreign(desired: &Desired, observed: &KernelState, owned: &BTreeSet<IpAddr>) -> Vec<ServiceKey> {
    let is_ours = |address: &IpAddr| desired.vips.contains(address) || owned.contains(address);
    observed.services.keys().filter(|key| !is_ours(&key.address)).copied().collect()
}

/// What the kernel had where `step` changes it, as a text for the log of drift.
pub fn found(step: &Step, observed: &KernelState) -> String {
    let service = |key: &ServiceKey| observed.services.get(key);
    let was = match step {
        Step::Ipvs(IpvsStep::AddService(key, _))
        | Step::Ipvs(IpvsStep::EditService(key, _))
        | Step::Ipvs(IpvsStep::RemoveService(key)) => {
            service(key).map(|service| format!("{} with {} destinations", service.options, service.dests.len()))
        }
        Step::Ipvs(IpvsStep::AddDest(key, dest, _))
        | Step::Ipvs(IpvsStep::EditDest(key, dest, _))
        | Step::Ipvs(IpvsStep::RemoveDest(key, dest, _)) => {
            service(key).and_then(|service| service.dests.get(dest)).map(ToString::to_string)
        }
        Step::Lo(LoStep::Add(address)) | Step::Lo(LoStep::Remove(address)) => {
            observed.lo_addresses.get(address).map(|_| "on lo".to_owned())
        }
        Step::Sysctl(SysctlStep::SilenceArp) | Step::Sysctl(SysctlStep::RestoreArp) => {
            Some(format!("silenced {}", observed.arp.in_force))
        }
        Step::Sysctl(SysctlStep::TuneIpvs) | Step::Sysctl(SysctlStep::RestoreIpvs) => {
            Some(format!("tuned {}", observed.ipvs.in_force))
        }
    };
    was.unwrap_or_else(|| "nothing".to_owned())
}

#[cfg(test)]
mod tests;
