//! The kernel itself: netlink, addresses, sysctls.

pub mod address;
#[cfg(test)]
mod contract;
pub(crate) mod durable;
mod ipvs;
mod linux;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;

pub use linux::{Linux, capabilities};
