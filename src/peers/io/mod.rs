//! The part of `peers` that touches sockets.

pub mod call_error;
pub mod directory;
pub mod limits;
pub mod parcels;
pub mod pool;
pub mod server;
pub mod stream;
