//! Who holds each VIP: the lease's two sides as pure state machines, and the messages between guards (docs/lease.md).

pub mod grant;
pub mod lease;
pub mod message;
mod order;
mod rounds;
pub mod standing;
#[doc(hidden)]
pub mod switches;
mod tally;

pub use grant::{Voter, VoterEffect, VoterEvent};
pub use lease::{Holder, HolderEffect, HolderEvent, Pace, Standing};
pub use message::{Membership, MembershipId, Message, Round, Why};

use std::time::Duration;

/// The ε of docs/lease.md, "What is assumed": 2%, twice the drift that clocks may show against each other.
pub const EPSILON_PERCENT: u32 = 2;

/// `ttl·(1+ε)`: how long a voter keeps a promise, counted from after it granted.
pub fn promised(ttl: Duration) -> Duration {
    ttl + ttl * EPSILON_PERCENT / 100
}

/// `ttl·(1−ε)`: how long a holder counts on a lease, from before it asked.
pub fn held(ttl: Duration) -> Duration {
    ttl - ttl * EPSILON_PERCENT / 100
}

/// Whether `granted` contains a majority of every constituent set (two while a membership is joint). No sets: no majority.
pub fn majority_of_each<'a, T: Ord + 'a>(sets: &'a [std::collections::BTreeSet<T>], granted: impl Fn(&T) -> bool) -> bool {
    !sets.is_empty() && sets.iter().all(|set| set.iter().filter(|node| granted(node)).count() * 2 > set.len())
}
