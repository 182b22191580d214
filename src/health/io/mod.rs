//! The probes themselves: each is one request and one result within its timeout, over the network or by a script.

mod deadline;
pub mod http;
pub mod packets;
pub(super) mod probe;
pub mod script;
pub mod script_runner;
pub mod tcp;
pub mod track;

pub use probe::probe;
