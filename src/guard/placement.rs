//! Where a VIP is put.

use std::net::IpAddr;

/// An address on an interface.
pub type Placement = (String, IpAddr);
