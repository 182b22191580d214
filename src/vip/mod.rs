//! The VIP lease: the voter and the holder as pure state machines, and the messages between guards (docs/lease.md).

mod candidate_rank;
pub mod fallback;
pub mod holder;
pub mod holder_state;
mod lessons;
pub mod message;
mod rounds;
#[doc(hidden)]
pub mod rule_toggles;
mod tally;
pub mod voter;

pub use fallback::{ArpSeen, Circumstances, Fallback, FallbackEffect, FallbackEvent, LeaseSide};
pub use holder::{Holder, HolderEffect, HolderEvent, HolderState, LeaseTiming};
pub use message::{LeaseMembership, LeaseMessage, Life, MembershipId, RefusalReason, Round, Standing};
pub use voter::{Voter, VoterEffect, VoterEvent};

use std::time::Duration;

/// The ε of docs/lease.md, "What is assumed": 2%, twice the drift that clocks may show against each other.
pub const EPSILON_PERCENT: u32 = 2;

/// `ttl·(1+ε)`: how long a voter keeps a promise, counted from the time after it granted.
pub fn promised(ttl: Duration) -> Duration {
    ttl + ttl * EPSILON_PERCENT / 100
}

/// `ttl·(1−ε)`: how long a holder counts on a lease, counted from the time before it asked.
pub fn held(ttl: Duration) -> Duration {
    ttl - ttl * EPSILON_PERCENT / 100
}

/// Whether `granted` holds for a majority of every voter set: two while a membership is joint. Without any set there is no majority.
pub fn majority_of_each<'a, T: Ord + 'a>(sets: &'a [std::collections::BTreeSet<T>], granted: impl Fn(&T) -> bool) -> bool {
    !sets.is_empty() && sets.iter().all(|set| set.iter().filter(|node| granted(node)).count() * 2 > set.len())
}
