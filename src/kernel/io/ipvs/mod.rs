//! IPVS over generic netlink: read the tables, change them.

mod calls;
mod frame;
mod socket;
mod wire;

pub(crate) use calls::Ipvs;
pub use calls::load_module;
