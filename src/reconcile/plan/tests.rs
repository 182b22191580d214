//! `plan` against the fake kernel, for any kernel and any wish.

use super::{Desired, foreign, found, plan};
use crate::{
    kernel::{
        DataPlane, Dest, DestKey, FakeDataPlane, Forward, IpvsService, IpvsStep, KernelState, LoStep, ServiceKey, ServiceOptions,
        Step, SysctlState, SysctlStep,
    },
    model::{Protocol, Scheduler},
};
use proptest::{collection::btree_map, collection::btree_set, prelude::*};
use std::{collections::BTreeSet, net::IpAddr};

/// 1 and 2 are VIPs of the rules, 3 was one, 4 never was.
fn address(number: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, number])
}

fn owned() -> BTreeSet<IpAddr> {
    [address(1), address(3)].into()
}

fn key(address: IpAddr) -> impl Strategy<Value = ServiceKey> {
    (prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)], 80_u16..82).prop_map(move |(protocol, port)| ServiceKey {
        protocol,
        address,
        port,
    })
}

fn service() -> impl Strategy<Value = IpvsService> {
    let options = (0..3_usize, 0..2_u32)
        .prop_map(|(scheduler, flags)| ServiceOptions { flags, ..ServiceOptions::plain(Scheduler::ALL[scheduler], address(1)) });
    let forward = prop_oneof![Just(Forward::Direct), Just(Forward::Masquerade)];
    let dest = (0..3_u32, forward).prop_map(|(weight, forward)| Dest { weight, forward, upper_threshold: 0, lower_threshold: 0 });
    let dest_key = (20_u8..24).prop_map(|host| DestKey { address: address(host), port: 80 });
    (options, btree_map(dest_key, dest, 0..4)).prop_map(|(options, dests)| IpvsService { options, dests })
}

fn kernel() -> impl Strategy<Value = KernelState> {
    let any_key = (1_u8..=4).prop_flat_map(|number| key(address(number)));
    let lo = btree_set((1_u8..=4).prop_map(address), 0..4);
    let sysctls = || any::<(bool, bool)>().prop_map(|(in_force, former_kept)| SysctlState { in_force, former_kept });
    (btree_map(any_key, service(), 0..6), lo, sysctls(), sysctls()).prop_map(|(services, lo_addresses, arp, ipvs)| KernelState {
        services,
        fwmark_services: [7].into(),
        lo_addresses,
        arp,
        ipvs,
    })
}

fn wish() -> impl Strategy<Value = Desired> {
    let our_key = (1_u8..=2).prop_flat_map(|number| key(address(number)));
    let lo_vips = btree_set((1_u8..=2).prop_map(address), 0..2);
    (btree_map(our_key, service(), 0..6), lo_vips, any::<bool>()).prop_map(|(services, lo_vips, directs)| Desired {
        services,
        lo_vips,
        directs,
        vips: [address(1), address(2)].into(),
        ..Desired::default()
    })
}

/// What a kernel should hold after a plan: the wish on our addresses, what was there on all others.
fn expected(desired: &Desired, observed: &KernelState) -> KernelState {
    let mut state = observed.clone();
    state.services.retain(|key, _| key.address == address(4));
    state.services.extend(desired.services.clone());
    state.lo_addresses.retain(|lo| *lo == address(4));
    state.lo_addresses.extend(&desired.lo_vips);
    state.arp = sysctls(observed.arp, !desired.lo_vips.is_empty());
    state.ipvs = sysctls(observed.ipvs, desired.directs);
    state
}

fn sysctls(was: SysctlState, wanted: bool) -> SysctlState {
    if wanted {
        SysctlState { in_force: true, former_kept: was.former_kept || !was.in_force }
    } else {
        SysctlState { in_force: was.in_force && !was.former_kept, former_kept: false }
    }
}

fn execute(kernel: &KernelState, steps: &[Step]) -> KernelState {
    let mut fake = FakeDataPlane::holding(kernel.clone());
    let failures = futures_util::FutureExt::now_or_never(fake.execute(steps)).expect("the fake never waits");
    assert_eq!(failures, []);
    fake.state()
}

proptest! {
    #[test]
    fn executing_a_plan_gives_the_wish_and_leaves_the_rest_alone(desired in wish(), observed in kernel()) {
        let steps = plan(&desired, &observed, &owned());
        let after = execute(&observed, &steps);
        prop_assert_eq!(&after, &expected(&desired, &observed));
        prop_assert_eq!(plan(&desired, &after, &owned()), vec![]);
        prop_assert_eq!(foreign(&desired, &observed, &owned()), foreign(&desired, &after, &owned()));
    }

    #[test]
    fn no_step_is_there_without_need(desired in wish(), observed in kernel()) {
        let steps = plan(&desired, &observed, &owned());
        for left_out in 0..steps.len() {
            let mut fewer = steps.clone();
            let step = fewer.remove(left_out);
            let mut fake = FakeDataPlane::holding(observed.clone());
            let _ = futures_util::FutureExt::now_or_never(fake.execute(&fewer));
            prop_assert!(fake.state() != expected(&desired, &observed), "{} was not needed", step);
        }
    }

    #[test]
    fn no_step_touches_what_is_not_ours(desired in wish(), observed in kernel()) {
        for step in plan(&desired, &observed, &owned()) {
            let address = match &step {
                Step::Ipvs(IpvsStep::RemoveService(key)) | Step::Ipvs(IpvsStep::AddService(key, _)) | Step::Ipvs(IpvsStep::EditService(key, _)) => key.address,
                Step::Ipvs(IpvsStep::AddDest(key, ..)) | Step::Ipvs(IpvsStep::EditDest(key, ..)) | Step::Ipvs(IpvsStep::RemoveDest(key, ..)) => key.address,
                Step::Lo(LoStep::Remove(address)) | Step::Lo(LoStep::Add(address)) => *address,
                Step::Sysctl(SysctlStep::RestoreArp) | Step::Sysctl(SysctlStep::SilenceArp) | Step::Sysctl(SysctlStep::TuneIpvs) | Step::Sysctl(SysctlStep::RestoreIpvs) => continue,
            };
            prop_assert!(address != self::address(4), "{}", step);
        }
    }

    #[test]
    fn a_service_that_stays_is_never_removed_and_no_pool_runs_empty_on_the_way(desired in wish(), observed in kernel()) {
        let steps = plan(&desired, &observed, &owned());
        for done in 0..=steps.len() {
            let now = execute(&observed, &steps[..done]);
            for (key, service) in &desired.services {
                let Some(before) = observed.services.get(key) else { continue };
                let pool = now.services.get(key).map(|service| service.dests.len());
                prop_assert!(pool.is_some(), "{} is gone after {} steps", key, done);
                prop_assert!(pool >= Some(before.dests.len().min(service.dests.len())), "{} runs empty", key);
            }
        }
    }

    #[test]
    fn a_vip_is_never_on_lo_without_silence(desired in wish(), observed in kernel()) {
        let leaks = |state: &KernelState| state.lo_addresses.iter().any(|lo| *lo != address(4)) && !state.arp.in_force;
        let steps = plan(&desired, &observed, &owned());
        for done in 0..=steps.len() {
            let now = execute(&observed, &steps[..done]);
            prop_assert!(!leaks(&now) || leaks(&observed), "after {} of {:?}", done, steps);
        }
    }
}

#[test]
fn steps_come_in_the_order_of_the_invariants() {
    let rank = |step: &Step| match step {
        Step::Lo(LoStep::Remove(_)) => 0,
        Step::Sysctl(SysctlStep::RestoreArp) => 1,
        Step::Sysctl(SysctlStep::TuneIpvs) => 2,
        Step::Ipvs(IpvsStep::RemoveService(_)) => 3,
        Step::Ipvs(IpvsStep::AddService(..))
        | Step::Ipvs(IpvsStep::EditService(..))
        | Step::Ipvs(IpvsStep::AddDest(..))
        | Step::Ipvs(IpvsStep::EditDest(..))
        | Step::Ipvs(IpvsStep::RemoveDest(..)) => 4,
        Step::Sysctl(SysctlStep::RestoreIpvs) => 5,
        Step::Sysctl(SysctlStep::SilenceArp) => 6,
        Step::Lo(LoStep::Add(_)) => 7,
    };
    proptest!(|(desired in wish(), observed in kernel())| {
        let steps = plan(&desired, &observed, &owned());
        prop_assert!(steps.is_sorted_by_key(rank), "{:?}", steps);
    });
}

#[test]
fn drift_is_reported_with_what_was_found() {
    let key = ServiceKey { protocol: Protocol::Tcp, address: address(1), port: 80 };
    let dest = DestKey { address: address(21), port: 80 };
    let nat = Dest { weight: 5, forward: Forward::Masquerade, upper_threshold: 9, lower_threshold: 0 };
    let options = ServiceOptions::plain(Scheduler::Rr, address(1));
    let service = IpvsService { options: options.clone(), dests: [(dest, nat)].into() };
    let observed = KernelState { services: [(key, service)].into(), ..KernelState::default() };
    assert_eq!(found(&Step::Ipvs(IpvsStep::EditDest(key, dest, nat)), &observed), "nat weight 5, thresholds 0..9");
    assert_eq!(found(&Step::Ipvs(IpvsStep::EditService(key, options)), &observed), "scheduler rr with 1 destinations");
    assert_eq!(found(&Step::Lo(LoStep::Add(address(1))), &observed), "nothing");
}
