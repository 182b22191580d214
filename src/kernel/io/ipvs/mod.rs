//! IPVS over generic netlink: read the tables, change them.

mod calls;
pub(crate) mod frame;
mod socket;
pub(crate) mod wire;

pub(crate) use calls::Ipvs;
pub use calls::load_module;
