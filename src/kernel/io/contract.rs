//! What every [`DataPlane`] promises, run over the fake here and over a real kernel by `tests.rs`.

use crate::{
    kernel::{
        DataPlane, Dest, DestKey, FakeDataPlane, Forward, IpvsService, IpvsStep, IpvsUse, KernelState, LoStep, ServiceKey,
        ServiceOptions, Step, StepError, StepFailure, SysctlState, SysctlStep,
    },
    model::{ForwardMethod, Protocol, Scheduler, Weight},
};
use std::net::IpAddr;

/// Runs the whole suite on an empty kernel, and leaves it empty.
pub async fn holds<P: DataPlane>(plane: &mut P) {
    assert_eq!(look(plane).await, KernelState::default(), "the suite wants an empty kernel");
    what_is_added_is_seen(plane).await;
    edits_touch_only_what_they_name(plane).await;
    refusals_are_reported_one_by_one_and_stop_nothing(plane).await;
    every_scheduler_is_known_by_its_name(plane).await;
    one_port_serves_both_protocols_and_both_families(plane).await;
    vips_on_lo_come_with_silence_and_go_before_it(plane).await;
    ipvs_settings_come_and_go(plane).await;
    assert_eq!(look(plane).await, KernelState::default(), "something was left behind");
}

pub fn service(port: u16) -> ServiceKey {
    ServiceKey { protocol: Protocol::Tcp, address: vip(), port }
}

pub fn vip() -> IpAddr {
    IpAddr::from([192, 0, 2, 100])
}

pub fn dest(host: u8) -> DestKey {
    DestKey { address: IpAddr::from([192, 0, 2, host]), port: 80 }
}

pub fn weight(weight: u16) -> Dest {
    Dest::plain(Weight(weight), ForwardMethod::Dr)
}

pub fn options(scheduler: Scheduler) -> ServiceOptions {
    ServiceOptions::plain(scheduler, vip())
}

pub async fn look<P: DataPlane>(plane: &mut P) -> KernelState {
    plane.observe(IpvsUse::Required).await.unwrap()
}

/// Carries out steps that must not fail.
pub async fn done<P: DataPlane>(plane: &mut P, steps: &[Step]) {
    let failures = plane.execute(steps).await;
    assert!(failures.is_empty(), "{} of {} steps failed, first: {}", failures.len(), steps.len(), failures[0]);
}

fn errno(failure: &StepFailure) -> i32 {
    match &failure.error {
        StepError::Refused { errno, .. } => *errno,
        other => panic!("{failure} is no refusal by the kernel: {other:?}"),
    }
}

async fn what_is_added_is_seen<P: DataPlane>(plane: &mut P) {
    let limited = Dest { weight: 65535, forward: Forward::Tunnel, upper_threshold: 100, lower_threshold: 50 };
    let steps = [
        Step::Ipvs(IpvsStep::AddService(service(80), options(Scheduler::Wlc))),
        Step::Ipvs(IpvsStep::AddDest(service(80), dest(21), weight(1))),
        Step::Ipvs(IpvsStep::AddDest(service(80), dest(22), weight(0))),
        Step::Ipvs(IpvsStep::AddDest(service(80), dest(23), limited)),
    ];
    done(plane, &steps).await;
    let dests = [(dest(21), weight(1)), (dest(22), weight(0)), (dest(23), limited)].into();
    let service_80 = IpvsService { options: options(Scheduler::Wlc), dests };
    assert_eq!(look(plane).await, KernelState { services: [(service(80), service_80)].into(), ..KernelState::default() });
}

async fn edits_touch_only_what_they_name<P: DataPlane>(plane: &mut P) {
    let before = look(plane).await.services[&service(80)].dests.clone();
    let persistent =
        ServiceOptions { flags: 1, timeout_s: 360, netmask: u32::from_ne_bytes([255, 255, 255, 0]), ..options(Scheduler::Sh) };
    done(plane, &[Step::Ipvs(IpvsStep::EditService(service(80), persistent.clone()))]).await;
    assert_eq!(look(plane).await.services[&service(80)], IpvsService { options: persistent, dests: before.clone() });

    done(
        plane,
        &[
            Step::Ipvs(IpvsStep::EditService(service(80), options(Scheduler::Rr))),
            Step::Ipvs(IpvsStep::EditDest(service(80), dest(23), weight(3))),
        ],
    )
    .await;
    let after = look(plane).await.services.remove(&service(80)).unwrap();
    let dests = [(dest(21), weight(1)), (dest(22), weight(0)), (dest(23), weight(3))].into();
    assert_eq!(after, IpvsService { options: options(Scheduler::Rr), dests });
}

async fn refusals_are_reported_one_by_one_and_stop_nothing<P: DataPlane>(plane: &mut P) {
    let before = look(plane).await;
    let strange = ServiceOptions { scheduler: "no-such".to_owned(), ..options(Scheduler::Rr) };
    let upside_down = Dest { lower_threshold: 9, upper_threshold: 3, ..weight(1) };
    let wrong = [
        (Step::Ipvs(IpvsStep::AddService(service(80), options(Scheduler::Rr))), libc::EEXIST),
        (Step::Ipvs(IpvsStep::AddService(service(81), strange.clone())), libc::ENOENT),
        (Step::Ipvs(IpvsStep::EditService(service(80), strange)), libc::ENOENT),
        (Step::Ipvs(IpvsStep::EditService(service(81), options(Scheduler::Rr))), libc::ESRCH),
        (Step::Ipvs(IpvsStep::RemoveService(service(81))), libc::ESRCH),
        (Step::Ipvs(IpvsStep::AddDest(service(81), dest(21), weight(1))), libc::ESRCH),
        (Step::Ipvs(IpvsStep::AddDest(service(80), dest(21), weight(5))), libc::EEXIST),
        (Step::Ipvs(IpvsStep::AddDest(service(80), dest(24), upside_down)), libc::ERANGE),
        (Step::Ipvs(IpvsStep::EditDest(service(80), dest(24), weight(1))), libc::ENOENT),
        (Step::Ipvs(IpvsStep::RemoveDest(service(80), dest(24), weight(1))), libc::ENOENT),
        (Step::Ipvs(IpvsStep::RemoveDest(service(81), dest(21), weight(1))), libc::ESRCH),
    ];
    // A good step between any two bad ones.
    let good = |round: usize| Step::Ipvs(IpvsStep::EditDest(service(80), dest(21), weight(u16::try_from(round).unwrap() + 10)));
    let steps: Vec<Step> = wrong.iter().enumerate().flat_map(|(round, (step, _))| [step.clone(), good(round)]).collect();
    let failures = plane.execute(&steps).await;
    let seen: Vec<(Step, i32)> = failures.iter().map(|failure| (failure.step.clone(), errno(failure))).collect();
    assert_eq!(seen, wrong);

    let mut after = look(plane).await;
    assert_eq!(after.services.get_mut(&service(80)).unwrap().dests.insert(dest(21), weight(1)), Some(weight(20)));
    assert_eq!(after, before);
    let steps =
        [Step::Ipvs(IpvsStep::RemoveDest(service(80), dest(21), weight(1))), Step::Ipvs(IpvsStep::RemoveService(service(80)))];
    done(plane, &steps).await;
}

async fn every_scheduler_is_known_by_its_name<P: DataPlane>(plane: &mut P) {
    let key = |index: usize| service(u16::try_from(1000 + index).unwrap());
    let add = Scheduler::ALL
        .iter()
        .enumerate()
        .map(|(index, scheduler)| Step::Ipvs(IpvsStep::AddService(key(index), options(*scheduler))));
    done(plane, &add.collect::<Vec<_>>()).await;
    let seen = look(plane).await.services;
    for (index, scheduler) in Scheduler::ALL.iter().enumerate() {
        assert_eq!(seen[&key(index)].options, options(*scheduler));
    }
    done(plane, &seen.keys().map(|key| Step::Ipvs(IpvsStep::RemoveService(*key))).collect::<Vec<_>>()).await;
}

async fn one_port_serves_both_protocols_and_both_families<P: DataPlane>(plane: &mut P) {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100]);
    let keys =
        [vip(), v6].map(|address| [Protocol::Tcp, Protocol::Udp].map(|protocol| ServiceKey { protocol, address, port: 53 }));
    let steps: Vec<Step> = keys
        .as_flattened()
        .iter()
        .map(|key| Step::Ipvs(IpvsStep::AddService(*key, ServiceOptions::plain(Scheduler::Rr, key.address))))
        .collect();
    done(plane, &steps).await;
    let v6_dest = DestKey { address: IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x21]), port: 53 };
    done(
        plane,
        &[Step::Ipvs(IpvsStep::AddDest(keys[1][1], v6_dest, weight(4))), Step::Ipvs(IpvsStep::RemoveService(keys[0][0]))],
    )
    .await;
    let seen = look(plane).await.services;
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [keys[1][0], keys[0][1], keys[1][1]]);
    assert_eq!(seen[&keys[1][1]].dests, [(v6_dest, weight(4))].into());
    done(plane, &seen.keys().map(|key| Step::Ipvs(IpvsStep::RemoveService(*key))).collect::<Vec<_>>()).await;
}

async fn vips_on_lo_come_with_silence_and_go_before_it<P: DataPlane>(plane: &mut P) {
    let other = IpAddr::from([192, 0, 2, 101]);
    done(
        plane,
        &[
            Step::Sysctl(SysctlStep::SilenceArp),
            Step::Lo(LoStep::Add(vip())),
            Step::Lo(LoStep::Add(other)),
            Step::Lo(LoStep::Add(vip())),
        ],
    )
    .await;
    let expected = KernelState {
        lo_addresses: [vip(), other].into(),
        arp: SysctlState { in_force: true, former_kept: true },
        ..KernelState::default()
    };
    assert_eq!(look(plane).await, expected);
    done(plane, &[Step::Sysctl(SysctlStep::SilenceArp)]).await;
    assert_eq!(look(plane).await, expected, "silence is silence, however often");
    let steps = [
        Step::Lo(LoStep::Remove(vip())),
        Step::Lo(LoStep::Remove(other)),
        Step::Lo(LoStep::Remove(other)),
        Step::Sysctl(SysctlStep::RestoreArp),
        Step::Sysctl(SysctlStep::RestoreArp),
    ];
    done(plane, &steps).await;
}

async fn ipvs_settings_come_and_go<P: DataPlane>(plane: &mut P) {
    let tuned = KernelState { ipvs: SysctlState { in_force: true, former_kept: true }, ..KernelState::default() };
    for steps in [
        [Step::Sysctl(SysctlStep::TuneIpvs), Step::Sysctl(SysctlStep::TuneIpvs)],
        [Step::Sysctl(SysctlStep::RestoreIpvs), Step::Sysctl(SysctlStep::RestoreIpvs)],
    ] {
        done(plane, &steps).await;
        assert_eq!(look(plane).await == tuned, steps[0] == Step::Sysctl(SysctlStep::TuneIpvs));
    }
}

#[tokio::test]
async fn the_fake_keeps_the_contract() {
    holds(&mut FakeDataPlane::default()).await;
}

#[tokio::test]
async fn a_step_is_not_tried_when_the_one_it_rests_on_failed() {
    let mut fake = FakeDataPlane::default();
    fake.break_steps(vec![Step::Sysctl(SysctlStep::SilenceArp), Step::Lo(LoStep::Remove(vip()))]);
    let failures = fake
        .execute(&[
            Step::Lo(LoStep::Remove(vip())),
            Step::Sysctl(SysctlStep::RestoreArp),
            Step::Sysctl(SysctlStep::SilenceArp),
            Step::Lo(LoStep::Add(vip())),
        ])
        .await;
    let voided = |failure: &StepFailure| matches!(failure.error, StepError::Voided(_));
    assert_eq!(failures.iter().map(voided).collect::<Vec<_>>(), [false, true, false, true]);
    assert_eq!(fake.state(), KernelState::default());
}
