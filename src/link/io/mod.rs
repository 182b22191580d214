//! The part of `link` that waits for streams or touches files.

pub mod files;
pub mod frame;
pub mod handshake;
pub mod parcel;
pub mod udp;
