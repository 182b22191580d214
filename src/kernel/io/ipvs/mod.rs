//! IPVS over generic netlink: read the tables, change them.

mod calls;
pub(crate) mod frame;
mod socket;
mod summary;
pub(crate) mod wire;

pub use calls::load_module;
pub(crate) use calls::{Ipvs, PROC_FILE};
pub(crate) use summary::summary;
