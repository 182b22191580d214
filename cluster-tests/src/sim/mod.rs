//! A seeded simulation of the lease: the product's own voters and holders, with clocks, network, kernel and membership log made up.
//!
//! Everything follows from the seed, so a violation is a seed that can be run again. Time is real (the simulator's) nanoseconds; each node
//! reads its own drifting clock. At every step: **at most one node has the VIP under a lease that still runs.**

pub mod chaos;
pub mod dice;
pub mod liar;
pub mod log;
pub mod network;
pub mod node;
pub mod run;
pub mod world;

use log::LogRuleToggles;
use lvs_agent::{model::VipName, vip::rule_toggles::RuleToggles};

/// Real time since the simulation began.
pub type Nanos = u64;

/// The lease duration of the simulated cluster: the `lan` profile's.
pub const TTL: Nanos = 300_000_000;

/// The one VIP group.
pub fn group() -> VipName {
    "web".parse().expect("a legal name")
}

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
    /// Whether the kernel refuses a VIP now and then.
    pub install_failures: bool,
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
            install_failures: true,
            liar: true,
            lying_voter: true,
        }
    }
}

/// Two nodes had the VIP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TwoHolders {
    /// When.
    pub at: Nanos,
    /// Who.
    pub nodes: Vec<usize>,
    /// After how many steps.
    pub steps: u64,
}
