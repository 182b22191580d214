//! Asks real servers how they are, as one of several observers, and says what it sees. What the cluster makes of it is `verdict`'s.

pub mod assign;
pub mod hysteresis;
pub mod io;
pub mod observer;
pub mod schedule;
pub mod script;
pub mod task;

pub use assign::{Alarm, Assignment, HealthInputs, assignments, peer_alarms};
pub use task::run;
