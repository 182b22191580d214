//! Random search: with every rule on, no seed has two holders, and every seed has one again after its faults are healed.
//!
//! `LVS_SIM_SEEDS=N` runs N seeds, from `LVS_SIM_FIRST` on; `LVS_SIM_SEED=S` runs that one.

use cluster_tests::sim::{
    Options, TTL,
    run::{Findings, run_seed},
};

const SEEDS: u64 = 1_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "takes a minute without optimisation: cargo test --release")]
fn never_two_holders_and_always_one_again() {
    let only = from_environment("LVS_SIM_SEED");
    let first = only.or_else(|| from_environment("LVS_SIM_FIRST")).unwrap_or(1);
    let seeds = if only.is_some() { 1 } else { from_environment("LVS_SIM_SEEDS").unwrap_or(SEEDS) };
    println!("seeds {first}..{}", first + seeds);
    let mut all: Vec<Findings> = Vec::new();
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        // Every other seed keeps its membership, and every other of those has a kernel that refuses nothing.
        let options = Options { changes: seed % 2 == 0, kernel_failures: seed % 4 > 1, ..Options::default() };
        match run_seed(seed, options) {
            Ok(findings) => all.push(findings),
            Err(failure) => failures.push(format!("LVS_SIM_SEED={seed}: {failure:?}")),
        }
    }
    let total = |of: fn(&Findings) -> u64| all.iter().map(of).sum::<u64>();
    println!(
        "{} steps, {} addresses put on in chaos, {} log entries, {} revisions of the rules",
        total(|f| f.steps),
        total(|f| f.installs),
        total(|f| f.log_entries),
        total(|f| f.revisions)
    );
    print_quantiles("healed to holder", all.iter().map(|f| f.healed).collect());
    print_quantiles("take-over after power-off", all.iter().filter_map(|f| f.takeover).collect());
    print_quantiles("hand-over", all.iter().filter_map(|f| f.handover).collect());
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds failed:\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n")
    );
}

#[expect(clippy::print_stdout, reason = "the figures are what the run is for")]
fn print_quantiles(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at =
        |part: f64| times.get(((times.len().max(1) - 1) as f64 * part) as usize).map_or(f64::NAN, |t| *t as f64 / TTL as f64);
    println!("{what}, in ttl: p50 {:.2} p99 {:.2} max {:.2} ({} samples)", at(0.5), at(0.99), at(1.0), times.len());
}
