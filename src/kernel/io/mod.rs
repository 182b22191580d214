//! The kernel itself: netlink, addresses, routes, sysctls, and the capabilities of this process.

pub mod address;
pub mod changes;
#[cfg(test)]
mod contract;
pub mod fence;
pub(crate) mod ipvs;
mod linux;
pub mod network;
pub mod own_address;
pub mod secondaries;
mod sysctl;
#[cfg(test)]
pub(crate) mod tests;

pub use ipvs::load_module;
pub use linux::{Linux, capabilities};
