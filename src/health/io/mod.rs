//! The part of `health` that touches the network and starts scripts: one question, one answer, within its timeout.

mod deadline;
pub mod http;
pub mod packets;
pub(super) mod probe;
pub mod script;
pub mod script_runner;
pub mod tcp;

pub use probe::probe;
