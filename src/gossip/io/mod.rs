//! The part of `gossip` that touches sockets.

pub mod transport;
