//! What a node's kernel has for LVS, and the trait [`DataPlane`] by which it is read and changed.
//!
//! There are two implementations: [`io::Linux`] and [`FakeDataPlane`]. `io/contract.rs` tests both.

mod data_plane;
mod fake;
pub mod fence;
pub mod io;
pub mod own_address;
mod state;
mod step;

pub use data_plane::{DataPlane, DataPlaneError, IpvsUse, StepError, StepFailure};
pub use fake::FakeDataPlane;
pub use state::{Dest, DestKey, Forward, IpvsService, KernelState, ServiceKey, ServiceOptions, SysctlState};
pub use step::{IpvsStep, LoStep, Step, SysctlStep};
