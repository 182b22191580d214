//! Tests of interfaces that cannot carry a VIP, and of VIPs that somebody else has taken off.

use super::*;
use crate::guard::clock_rates::OwnClock;

fn barred() -> LeaseEvent {
    LeaseEvent::Links([(web(), "its interface eth0 has no carrier".to_owned())].into())
}

#[test]
fn a_holder_whose_link_is_lost_lets_go_at_once_and_the_other_takes_over_within_the_steps_of_a_hand_over() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
    world.event(D1, barred());
    assert_eq!(world.holders(), []);
    let removed = |act: &Effect| matches!(act, Effect::Remove { why: "its interface cannot carry it", epoch: Some(1), .. });
    assert!(world.node(D1).log.iter().any(removed), "{:?}", world.node(D1).log.last());
    world.run_ms(20);
    assert_eq!(world.holders(), [D2]);
    assert_eq!(world.node(D1).leases.obstacles(), [(web(), "its interface eth0 has no carrier".to_owned())].into());
    assert_eq!((world.node(D1).leases.claims(), world.node(D2).leases.claims().held.len()), (Claims::default(), 1));
}

#[test]
fn a_director_whose_link_is_down_takes_nothing_until_it_is_up() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.event(D1, barred());
    world.event(D2, barred());
    world.event(D1, LeaseEvent::Ready(true));
    world.run_ms(2000);
    assert_eq!(world.holders(), []);
    world.event(D2, LeaseEvent::Links(Obstacles::new()));
    world.run_ms(100);
    assert_eq!((world.holders(), world.node(D2).leases.obstacles()), (vec![D2], Obstacles::new()));
    world.event(D1, LeaseEvent::Links(Obstacles::new()));
    world.run_ms(1000);
    assert_eq!(world.holders(), [D2], "it is a candidate again, and takes nothing that is held");
}

#[test]
fn a_group_that_the_rules_name_later_is_barred_from_its_beginning() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    for id in [D1, D2] {
        world.event(id, LeaseEvent::Groups(Vec::new()));
        world.event(id, barred());
        world.event(id, LeaseEvent::Groups(vec![order(&["192.0.2.10"])]));
    }
    world.run_ms(2000);
    assert_eq!(world.holders(), []);
}

#[test]
fn what_somebody_else_has_taken_off_is_put_on_for_the_rest_of_the_lease_and_announced_again() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(20_000);
    let (announced, acts) = (world.node(D1).announced, world.node(D1).log.len());
    world.node(D1).kernel.clear();
    world.event(D1, LeaseEvent::Disturbed(web()));
    assert_eq!(world.holders(), [D1]);
    let places: BTreeSet<Placement> = [place("192.0.2.10")].into();
    let act = world.node(D1).log[acts].clone();
    assert!(matches!(&act, Effect::Install { kept, fresh: false, epoch: 1, .. } if *kept == places), "{act:?}");
    let Effect::Install { until, .. } = act else { return };
    assert!(until.since_boot() <= world.now + TimingProfile::Lan.ttl(), "never past the lease");
    world.run_ms(150);
    assert_eq!(world.node(D1).announced, announced + 3);
}

#[test]
fn who_does_not_hold_puts_nothing_back_and_nor_does_who_held_until_a_moment_ago() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    let acts = world.node(D2).log.len();
    world.event(D2, LeaseEvent::Disturbed(web()));
    assert_eq!((world.node(D2).log.len(), world.holders()), (acts, vec![D1]));
    world.node(D1).cut = true;
    // Its guard is late: the lease is over, and nobody has looked.
    world.now += Duration::from_secs(1);
    world.event(D1, LeaseEvent::Disturbed(web()));
    assert_eq!(world.holders(), []);
    let last = world.node(D1).log.last().cloned();
    assert!(!matches!(last, Some(Effect::Install { .. })), "{last:?}");
}

#[test]
fn a_holder_whose_clock_is_wrong_hands_over_and_takes_nothing_until_it_is_good() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
    let clock = OwnClock::Slow { ppm: 31_000 };
    world.event(D1, LeaseEvent::Clock(clock));
    let why = "the clock of this node runs at another rate than others'";
    let removed = |act: &Effect| matches!(act, Effect::Remove { why: reason, epoch: Some(1), .. } if *reason == why);
    assert!(world.node(D1).log.iter().any(removed), "{:?}", world.node(D1).log.last());
    world.run_ms(20);
    assert_eq!(world.holders(), [D2]);
    assert_eq!(world.node(D1).leases.obstacles(), [(web(), clock.trouble().unwrap())].into());
    world.event(D2, barred());
    world.run_ms(2000);
    assert_eq!(world.holders(), []);
    world.event(D1, LeaseEvent::Clock(OwnClock::Good));
    world.run_ms(100);
    assert_eq!((world.holders(), world.node(D1).leases.obstacles()), (vec![D1], Obstacles::new()));
}

#[test]
fn a_voter_whose_clock_is_fast_grants_nothing_and_one_whose_clock_is_slow_grants() {
    for (clock, grants) in [(OwnClock::Fast { ppm: 31_000 }, false), (OwnClock::Slow { ppm: 31_000 }, true)] {
        // With two voters both are needed.
        let mut world = World::new(&[D1, WITNESS]);
        world.event(WITNESS, LeaseEvent::Clock(clock));
        world.run_ms(2000);
        assert_eq!(!world.holders().is_empty(), grants, "{clock:?}");
        world.event(WITNESS, LeaseEvent::Clock(OwnClock::Good));
        world.run_ms(2000);
        assert!(!world.holders().is_empty(), "{clock:?}");
    }
}
