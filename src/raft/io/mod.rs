//! The part of `raft` that touches files, and is plugged into openraft.

pub mod disk;
pub mod log_store;
pub mod raft_client;
#[cfg(test)]
pub mod scratch;
pub mod state_machine;
pub mod store_error;
pub mod writer;
