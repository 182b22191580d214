//! The guard process: holds VIPs, votes on leases, announces, and looks after the worker.

pub mod protocol;
