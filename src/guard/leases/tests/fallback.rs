//! Tests of a group that is held by fallback, as the guard does it: what becomes of the address, and of its lease.

use super::*;
use crate::guard::group_state::FallbackStanding;

/// D1 has lost the other two, D2 takes no part, and the rules say fallback.
fn alone() -> World {
    let mut world = World::new(&[D1, D2, WITNESS]);
    let mut falls_back = order(&["192.0.2.10"]);
    falls_back.group.on_quorum_loss = OnQuorumLoss::Fallback;
    world.event(D2, LeaseEvent::Ready(false));
    world.event(D1, LeaseEvent::Groups(vec![falls_back]));
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
    world.node(D1).log.clear();
    cut(&mut world, true);
    world
}

fn cut(world: &mut World, is_cut: bool) {
    for node in [D2, WITNESS] {
        world.node(node).cut = is_cut;
    }
}

fn holding(world: &mut World) -> Holding {
    world.node(D1).leases.ownership()[&web()]
}

#[test]
fn it_lets_go_of_the_lease_and_takes_the_vip_again_by_fallback_for_a_ttl_at_a_time() {
    let mut world = alone();
    world.run_ms(400);
    assert_eq!((world.holders(), holding(&mut world)), (vec![], Holding::NotHeld));
    assert!(world.node(D1).leases.arp_interest().is_empty());
    world.run_ms(300);
    assert_eq!(world.node(D1).leases.fallbacks(), [(web(), FallbackStanding::Elects)].into());
    let vips = BTreeMap::from([("192.0.2.10".parse().unwrap(), web())]);
    assert_eq!(world.node(D1).leases.arp_interest(), [("eth0".to_owned(), vips)].into());
    world.run_ms(200);
    assert_eq!(world.holders(), [D1]);
    assert!(matches!(holding(&mut world), Holding::Fallback { .. }), "{:?}", holding(&mut world));
    let (now, ttl) = (world.now, TimingProfile::Lan.ttl());
    let ends = |act: &Effect| match act {
        Effect::Install { until, fallback: true, .. } | Effect::Extend { until, .. } => Some(until.since_boot()),
        _ => None,
    };
    let until = world.node(D1).log.iter().rev().find_map(ends).unwrap();
    assert!(until > now && until <= now + ttl, "{until:?} at {now:?}");
    assert!(world.node(D1).announced > 0);
}

#[test]
fn the_lease_that_is_won_when_a_majority_is_back_takes_nothing_off_and_announces_once_more() {
    let mut world = alone();
    world.run_ms(3000);
    world.node(D1).log.clear();
    cut(&mut world, false);
    world.run_ms(200);
    assert!(matches!(holding(&mut world), Holding::Held { epoch: 2, .. }), "{:?}", holding(&mut world));
    let log = &world.node(D1).log;
    assert!(!log.iter().any(|act| matches!(act, Effect::Remove { .. })), "{log:?}");
    assert!(log.iter().any(|act| matches!(act, Effect::Install { fresh: false, fallback: false, epoch: 2, .. })), "{log:?}");
    assert!(log.iter().any(|act| matches!(act, Effect::Announce { .. })));
    assert_eq!(world.node(D1).leases.fallbacks(), BTreeMap::new());
    // From then on it is a lease like any other.
    cut(&mut world, true);
    world.run_ms(310);
    assert_eq!(world.holders(), []);
}

#[test]
fn a_machine_that_says_by_arp_that_it_has_the_vip_is_left_with_it() {
    let mut world = alone();
    world.run_ms(3000);
    world.event(D1, LeaseEvent::Seen(web(), ArpSeen::Claim));
    assert_eq!((world.holders(), holding(&mut world)), (vec![], Holding::NotHeld));
    let removed = |act: &Effect| matches!(act, Effect::Remove { why: "another machine has the vip", .. });
    assert!(world.node(D1).log.iter().any(removed));
}

#[test]
fn a_guard_that_ends_lets_go_of_what_it_holds_by_fallback_and_is_not_done_before() {
    let mut world = alone();
    world.run_ms(3000);
    world.node(D1).stubborn = true;
    world.event(D1, LeaseEvent::RetireAll);
    assert_eq!((world.holders(), world.node(D1).leases.all_retired()), (vec![D1], false));
    world.node(D1).stubborn = false;
    world.run_ms(60);
    assert_eq!((world.holders(), world.node(D1).leases.all_retired()), (vec![], true));
    world.event(D1, LeaseEvent::Return);
    world.run_ms(4000);
    assert!(matches!(holding(&mut world), Holding::Fallback { .. }));
}

#[test]
fn nobody_holds_what_is_to_be_released() {
    let mut world = alone();
    world.event(D1, LeaseEvent::Groups(vec![order(&["192.0.2.10"])]));
    world.run_ms(5000);
    assert_eq!((world.holders(), world.node(D1).leases.fallbacks()), (vec![], BTreeMap::new()));
    let mut other = alone();
    other.run_ms(3000);
    assert_eq!(other.holders(), [D1]);
    other.event(D1, LeaseEvent::Groups(vec![order(&["192.0.2.10"])]));
    assert_eq!(other.holders(), [], "nor goes on with it");
}
