//! Who votes: which set would be best, which change comes next, who is alive, and why a member votes or does not.

mod best_set;
mod explain;
pub mod leader_task;
mod liveness;
mod next_change;

pub use liveness::Liveness;
