//! The replicated state, and the commands of the Raft log that change it. Deterministic: no clock, no randomness.

mod apply;
mod barred;
mod change;
mod diff;
#[cfg(test)]
pub(crate) mod fixture;
pub mod rotation;
pub mod security;
mod state;
mod warning;

pub use apply::{CommandRefusal, MAX_MEMBERS};
pub use barred::{Barred, MAX_BARRED};
pub use change::{Command, Joining, VerdictChange};
pub use diff::{Difference, diff};
pub use security::{Security, SecurityChange, SecurityRefusal};
pub use state::{ClusterState, RuleSet, Target, Verdict};
pub use warning::{MissingInterface, Warning};
