//! A seeded simulation of the lease: the product's own `Leases` (voter, holders, what is put on interfaces) of each guard, with clocks, network, kernel, worker,
//! membership log and rules made up.
//!
//! Everything follows from the seed, so a violation is a seed that can be run again. Time is real (the simulator's) nanoseconds; each node
//! reads its own drifting clock. `invariant.rs` says what holds at every step.

pub mod chaos;
pub mod dice;
mod driver;
pub mod fallback;
pub mod fallback_rules;
mod invariant;
pub mod kernel;
pub mod liar;
pub mod log;
pub mod network;
pub mod node;
pub mod rules;
pub mod run;
pub mod world;

use log::LogRuleToggles;
use lvs_agent::vip::rule_toggles::RuleToggles;
use std::net::IpAddr;

/// Real time since the simulation began.
pub type Nanos = u64;

/// The lease duration of the simulated cluster: the `lan` profile's.
pub const TTL: Nanos = 300_000_000;

/// What a run has switched on, and what befalls it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Toggles of the rules of the state machines.
    pub product: RuleToggles,
    /// Toggles of the rules for changes of the voters.
    pub log: LogRuleToggles,
    /// For how long things go wrong, in ttl.
    pub chaos_ttls: u64,
    /// Whether the membership changes.
    pub changes: bool,
    /// Whether the kernel refuses now and then to put an address on or to take one off.
    pub kernel_failures: bool,
    /// Whether addresses move between groups and groups are renamed. (Groups change otherwise whatever this says.)
    pub rule_changes: bool,
    /// Whether a member that does not vote listens and lies.
    pub liar: bool,
    /// Whether one of the voters lies, in everything but its promises.
    pub lying_voter: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            product: RuleToggles::ON,
            log: LogRuleToggles::ON,
            chaos_ttls: 80,
            changes: true,
            kernel_failures: true,
            rule_changes: true,
            liar: true,
            lying_voter: true,
        }
    }
}

/// What must not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// Two nodes have an address under leases that run.
    TwoHolders,
    /// A guard that nothing hinders has left an address on its interface beyond its lease.
    LeftOn,
}

/// A violation was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violated {
    /// Which.
    pub what: Violation,
    /// When.
    pub at: Nanos,
    /// Who.
    pub nodes: Vec<usize>,
    /// Of which address.
    pub address: IpAddr,
    /// After how many steps.
    pub steps: u64,
}
