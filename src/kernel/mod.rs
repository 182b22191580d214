//! What a node's kernel holds for LVS, and the seam through which it is seen and changed.
//!
//! Two implementations of [`DataPlane`]: [`io::Linux`] and [`FakeDataPlane`]; `io/contract.rs` is run over both.

mod data_plane;
mod fake;
pub mod io;
mod state;
mod step;

pub use data_plane::{DataPlane, DataPlaneError, IpvsUse, StepError, StepFailure};
pub use fake::FakeDataPlane;
pub use state::{Dest, DestKey, Forward, IpvsService, KernelState, ServiceKey, ServiceOptions, SysctlState};
pub use step::Step;
