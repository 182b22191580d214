//! The kernel itself: netlink, addresses, sysctls, and the capabilities of this process.

pub mod address;
#[cfg(test)]
mod contract;
pub(crate) mod ipvs;
mod linux;
pub mod network;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;

pub use ipvs::load_module;
pub use linux::{Linux, capabilities};
