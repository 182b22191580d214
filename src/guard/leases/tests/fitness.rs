//! Directors that are not ready, or less fit.

use super::*;

#[test]
fn not_ready_any_more_gives_the_vip_to_a_candidate_that_is() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.event(D1, LeaseEvent::Ready(false));
    world.run_ms(10);
    assert_eq!(world.holders(), [D2]);
}

#[test]
fn a_director_that_is_less_fit_hands_over_to_a_fitter_one_and_one_that_is_unfit_to_anybody() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.event(D1, LeaseEvent::Fitness([(web(), Fitness::LAST_RESORT), ("db".parse().unwrap(), Fitness::NONE)].into()));
    world.run_ms(10);
    assert_eq!(world.holders(), [D2]);
    world.event(D2, LeaseEvent::Tended(false));
    world.run_ms(500);
    assert_eq!(world.holders(), [D2], "both are last resorts");
    world.event(D1, LeaseEvent::Fitness([(web(), Fitness(2))].into()));
    world.run_ms(500);
    assert_eq!(world.holders(), [D1], "the next time that it seeks");
    world.event(D2, LeaseEvent::Tended(true));
    world.event(D1, LeaseEvent::Fitness([(web(), Fitness::NONE)].into()));
    world.run_ms(10);
    assert_eq!(world.holders(), [D2]);
    // What speaks against it does not go by its rules.
    world.event(D1, LeaseEvent::Ready(true));
    world.event(D2, LeaseEvent::Ready(false));
    world.run_ms(500);
    assert_eq!(world.holders(), []);
    world.event(D1, LeaseEvent::Fitness(BTreeMap::new()));
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
}
