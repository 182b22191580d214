//! The part of `base` that touches files and the process itself.

pub mod durable;
pub mod inherit;
pub mod privilege;
