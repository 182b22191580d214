//! Probes real servers, as one of several observers, and publishes what it finds. `verdict` decides by the findings of all observers.

pub mod assign;
pub mod hysteresis;
pub mod io;
pub mod observer;
pub mod schedule;
pub mod script;
pub mod task;
pub mod track;
pub mod track_task;

pub use assign::{Alarm, Assignment, HealthInputs, assignments, peer_alarms};
pub use task::run;
