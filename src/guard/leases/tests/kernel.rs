//! Tests of what the kernel is told, and of what it says.

use super::*;

#[test]
fn the_kernel_hears_of_a_renewal_only_before_it_would_take_the_addresses_off() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.node(D1).log.clear();
    for _ in 0..1000 {
        world.run_ms(10);
        assert_eq!(world.holders(), [D1]);
    }
    let log = &world.node(D1).log;
    let renewals =
        log.iter().filter(|act| matches!(act, Effect::Send { to, message: LeaseMessage::Ask { .. } } if *to == address(D2)));
    let installed = log.iter().filter(|act| matches!(act, Effect::Install { .. }));
    let extended = log.iter().filter(|act| matches!(act, Effect::Extend { .. }));
    let counts = (renewals.count(), installed.count(), extended.count());
    assert_eq!(counts, (133, 15, 118), "of a lease of 300 ms, in ten seconds");
}

#[test]
fn what_the_kernel_would_not_take_is_told_until_it_takes_it_or_the_rules_change() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    let failed = LeaseEvent::InstallFailed { group: web(), why: "no permission".to_owned() };
    world.event(D1, failed.clone());
    assert_eq!(world.node(D1).leases.obstacles(), [(web(), "no permission".to_owned())].into());
    world.run(Duration::from_secs(20));
    world.event(D2, LeaseEvent::RetireAll);
    world.run(Duration::from_secs(20));
    assert_eq!((world.node(D1).kernel.len(), world.node(D1).leases.obstacles()), (1, Obstacles::new()));
    world.event(D1, failed);
    world.event(D1, LeaseEvent::Groups(vec![order(&["192.0.2.11"])]));
    assert_eq!(world.node(D1).leases.obstacles(), Obstacles::new());
}
