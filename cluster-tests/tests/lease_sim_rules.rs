//! A checker that cannot find the violation shows nothing: with each of these rules of docs/lease.md off in turn, random search finds two holders.
//! `lease_sim_scripts.rs` has the rules for which it would need too long.

use cluster_tests::sim::{
    Options, Violated, Violation,
    run::{Failure, run_chaos, run_seed},
};

/// Seeds after which the search gives up: many times what it needs.
const SEEDS: u64 = 5_000;

/// Says after how many seeds two held.
fn search(rule: &str, options: Options) -> Option<u64> {
    search_for(Violation::TwoHolders, rule, options)
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
fn search_for(what: Violation, rule: &str, options: Options) -> Option<u64> {
    let is_it = |violated: &Violated| violated.what == what;
    let found = (1..=SEEDS).find_map(|seed| run_chaos(seed, options).err().filter(is_it).map(|violated| (seed, violated)));
    match &found {
        Some((seed, violated)) => println!("without {rule}: seed {seed}, {violated:?}"),
        None => println!("without {rule}: nothing in {SEEDS} seeds"),
    }
    found.map(|(seed, _)| seed)
}

/// Where one voter's word teaches, one that lies makes two holders, or none.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation: cargo test --release")]
fn nobody_holds_if_one_voters_word_teaches() {
    let mut options = Options::default();
    options.product.two_voices = false;
    let found = (1..=SEEDS).find_map(|seed| match run_seed(seed, options) {
        Err(Failure::NoHolder(what)) => Some((seed, what)),
        Err(Failure::Unsafe(_)) | Ok(_) => None,
    });
    println!("without two_voices: {found:?}");
    assert!(found.is_some());
}

/// Where removals take longer than the least reserve, and nobody measures them.
#[test]
#[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation: cargo test --release")]
fn addresses_outlast_their_lease_if_the_reserve_is_not_what_removals_take() {
    let mut options = Options::default();
    options.product.learned_reserve = false;
    assert!(search_for(Violation::LeftOn, "learned_reserve", options).is_some());
}

/// `too` is a second rule that is off, where it guards against the same.
macro_rules! found_without {
    ($($name:ident: $part:ident.$rule:ident $(, too $other:ident)?;)*) => {$(
        #[test]
        #[cfg_attr(debug_assertions, ignore = "takes minutes without optimisation: cargo test --release")]
        fn $name() {
            let mut options = Options::default();
            options.$part.$rule = false;
            $(options.product.$other = false;)?
            assert!(search(stringify!($rule), options).is_some());
        }
    )*};
}

found_without! {
    two_hold_if_a_starting_guard_does_not_remove_first: product.removal_at_start, too own_life;
    two_hold_if_answers_of_others_than_the_voters_teach: product.only_the_asked, too two_voices;
    two_hold_if_an_adopted_membership_stands_alone: product.told_and_adopted, too two_voices;
    two_hold_if_released_rounds_are_not_dead: product.dead_rounds;
    two_hold_if_a_holder_releases_a_failed_renewal: product.no_release_while_holding;
    two_hold_if_a_renewal_shrinks_a_promise: product.max_of_until;
    two_hold_if_a_voter_grants_right_after_its_start: product.quiet_after_restart;
    two_hold_if_old_rounds_are_granted: product.old_rounds;
    two_hold_if_a_lease_counts_from_its_grant: product.count_from_t0;
    two_hold_if_one_voters_word_teaches: product.two_voices;
    two_hold_if_promises_are_of_names_alone: product.by_address;
    two_hold_if_older_memberships_are_granted: product.refuse_older_membership;
    two_hold_if_the_promise_is_released_before_the_removal: product.removal_before_release;
    two_hold_if_several_voters_change_at_once: log.one_at_a_time;
}
