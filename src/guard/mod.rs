//! The guard process: holds VIPs, votes on leases, announces, and looks after the worker.

pub mod arp;
pub mod io;
pub mod protocol;
pub mod supervisor;
