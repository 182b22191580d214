//! The part of `kernel` that speaks netlink.

pub mod address;
