//! The voters: which set would be best, which membership change comes next, which members are alive, and why a member votes or does not.

mod explain;
pub mod leader_task;
mod liveness;
mod next_change;
mod selection;

pub use liveness::Liveness;
