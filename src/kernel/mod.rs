//! The kernel's side of the cluster: what it can be told and asked.

pub mod io;
