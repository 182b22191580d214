//! The fence in the kernel: it stops what concerns a VIP at the end of its lease, whatever has become of this process (docs/lease.md, "The fence").

mod calls;
mod socket;
mod wire;

pub use calls::{Fence, remove_left};
