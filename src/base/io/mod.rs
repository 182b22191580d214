//! The part of `base` that touches files, memory and the rights of the process.

pub mod durable;
pub mod inherit;
pub mod memory;
pub mod privilege;
