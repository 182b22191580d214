//! The admin protocol: HTTP/JSON on a root-only unix socket.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/version` | | [`Version`] |
//! | `GET /v1/export` | | the cluster file, as text |
//! | `POST /v1/plan` | [`PlanRequest`] | [`Plan`] |
//! | `POST /v1/apply` | [`ApplyRequest`] | [`ApplyAnswer`] |
//! | `POST /v1/init` | [`InitRequest`] | [`Membership`] |
//! | `POST /v1/join` | [`JoinRequest`] | [`Membership`] |
//! | `POST /v1/leave` | | `{}` |
//!
//! Errors are an [`ErrorBody`]: 400 not understood, 404/405 no such request, 409 refused by the cluster's state, 413 too long, 422 an invalid file or value,
//! 500 the agent's own fault, 502 no seed answered, 503 no quorum or another change is under way, 504 no answer in time.

mod admin;
mod client;
#[cfg(test)]
pub(crate) mod fake;
mod message;
mod server;
mod socket;
pub mod status;

pub use admin::{Admin, AdminError, Applied};
pub use client::{Client, ClientError};
pub use message::{
    ApplyAnswer, ApplyRequest, ErrorBody, Founded, IdentityMade, IdentityRequest, IdentityStatus, InitRequest, JoinRequest,
    Membership, Plan, PlanRequest, RolesRequest, TokenMade, TokenRequest, TokenStatus, Version,
};
pub use server::serve;
pub use socket::{AdminListener, BindError};
pub use status::Status;

use std::time::Duration;

/// Longest request body; a cluster file of 4 MiB as a JSON text fits, with its line ends and quotes escaped.
pub const MAX_REQUEST_BYTES: usize = 8 << 20;
/// Longest answer that a client takes: the status of a full-size cluster.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// An answer that only reads the agent's state comes within this.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// A change goes through Raft within this, or its fate is unknown.
pub const CHANGE_DEADLINE: Duration = Duration::from_secs(20);
/// Joining asks seeds again and again, and may wait for a snapshot.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(90);
