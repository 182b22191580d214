//! The part of `raft` that touches files and sockets.

pub mod answer;
pub mod directory;
pub mod disk;
pub mod identity;
pub mod log_store;
pub mod network;
#[cfg(test)]
pub mod scratch;
pub mod server;
pub mod state_machine;
pub mod store_error;
pub mod stream;
pub mod threshold;
pub mod writer;
