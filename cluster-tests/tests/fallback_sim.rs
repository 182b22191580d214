//! The fallback under a search by chance: with every rule on nothing is violated, with any one off something is.

use cluster_tests::sim::{
    fallback::World,
    fallback_rules::{Rules, Violation},
};

/// Without optimisation, so many are quick.
const SEEDS: u64 = 300;
const CHANGES: u64 = 12;

fn seeds() -> std::ops::RangeInclusive<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("LVS_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("LVS_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn one_director_a_network_serves_and_two_never_for_long() {
    let mut taken = 0;
    for seed in seeds() {
        let mut world = World::new(seed, Rules::ON);
        if let Err(violation) = world.run(CHANGES) {
            panic!("seed {seed}: {violation:?}");
        }
        taken += world.taken;
    }
    println!("the vip was taken by fallback {taken} times");
    assert!(taken > 0);
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
fn found(rules: Rules, wanted: Violation) -> bool {
    let violations: Vec<Violation> = (1..=SEEDS).filter_map(|seed| World::new(seed, rules).run(CHANGES).err()).collect();
    println!("{rules:?}: {violations:?}");
    violations.contains(&wanted)
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn two_take_it_if_answers_to_probes_keep_nobody_out() {
    assert!(found(Rules { probe: false, ..Rules::ON }, Violation::TwoTook));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn two_have_it_for_long_if_nobody_yields_to_what_arp_says() {
    assert!(found(Rules { conflict: false, ..Rules::ON }, Violation::TwoForLong));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn a_fallback_goes_on_beside_a_lease_if_nobody_yields_to_it() {
    assert!(found(Rules { lease: false, ..Rules::ON }, Violation::NotYielded));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn two_fallbacks_go_on_beside_each_other_if_nobody_yields_to_the_better() {
    assert!(found(Rules { better: false, ..Rules::ON }, Violation::NotYielded));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn two_take_it_at_once_if_nobody_makes_way() {
    assert!(found(Rules { rank: false, ..Rules::ON }, Violation::TwoTook));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes half a minute without optimisation: cargo test --release")]
fn the_vip_moves_when_the_majority_is_back_if_nobody_defers() {
    assert!(found(Rules { deference: false, ..Rules::ON }, Violation::Moved));
}
