//! The part of `link` that waits for streams.

pub mod frame;
