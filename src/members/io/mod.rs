//! The part of `members` that touches files.

pub mod identity;
