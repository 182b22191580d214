//! The kernel itself: netlink, addresses, sysctls.

pub mod address;
#[cfg(test)]
mod contract;
pub(crate) mod durable;
mod ipvs;
#[cfg(test)]
pub(crate) mod lab;
mod linux;
mod sysctl;
#[cfg(test)]
mod tests;

pub use linux::{Linux, capabilities};
