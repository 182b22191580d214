//! The admin protocol: HTTP/JSON on a root-only unix socket, and over mutual TLS on TCP where `[api] listen` says so.
//!
//! | request | body | answer | through TLS |
//! |---|---|---|---|
//! | `GET /v1/status` | | [`Status`] | all |
//! | `GET /v1/version` | | [`Version`] | all |
//! | `GET /v1/export` | | the cluster file, as text | all |
//! | `POST /v1/plan` | [`PlanRequest`] | [`PlanAnswer`] | all |
//! | `POST /v1/apply` | [`ApplyRequest`] | [`ApplyAnswer`] | admin |
//! | `GET /v1/tokens` | | list of [`TokenStatus`] | admin |
//! | `POST /v1/tokens` | [`TokenRequest`] | [`TokenMade`] | admin |
//! | `DELETE /v1/tokens/ID` | | `{}` | admin |
//! | `DELETE /v1/nodes/NAME` | | `{}` | admin |
//! | `POST /v1/nodes/NAME/allow` | | `{}` | admin |
//! | `PUT /v1/nodes/NAME/roles` | [`RolesRequest`] | `{}` | admin |
//! | `POST /v1/keys/rotate` | | `{}`: begun, see `security` in the status | admin |
//! | `POST /v1/ca/rotate` | | `{}`: begun, see `security` in the status | admin |
//! | `GET /v1/identities` | | list of [`IdentityStatus`] | admin |
//! | `POST /v1/identities` | [`IdentityRequest`] | [`IdentityMade`] | admin |
//! | `DELETE /v1/identities/NAME` | | `{}` | admin |
//! | `POST /v1/init` | [`InitRequest`] | [`InitAnswer`] | nobody |
//! | `POST /v1/join` | [`JoinOrder`] | [`JoinAnswer`] | nobody |
//! | `POST /v1/leave` | [`LeaveRequest`] or `null` | `{}` | nobody |
//! | `POST /v1/withdraw` | | [`WithdrawAnswer`] | nobody |
//! | `POST /v1/restart-worker` | | `{}`: about to end, see `pid` of [`Version`] | nobody |
//!
//! Errors are an [`ErrorBody`]: 400 not understood, 401 no certificate, 403 not with this certificate, 404/405 no such request, 409 refused by the
//! cluster's state, 413 too long, 422 an invalid file or value, 424 the member has not started, 428 a `leave` that wants `confirmed`, 500 the agent's
//! own fault, 502 no seed answered, 503 no quorum or another change is under way, 504 no answer in time.

mod access;
mod admin;
mod client;
mod connection_limit;
mod error;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod formats;
mod message;
mod remote;
mod routes;
mod server;
mod socket;
pub mod status;

pub use access::{Authoriser, RemoteAdmin};
pub use admin::{Admin, ApplyOutcome, MembersAdmin, RulesAdmin, SecurityAdmin};
pub use client::{Client, ClientError, RemoteAgent};
pub use error::AdminError;
pub use formats::Formats;
pub use message::{
    ApplyAnswer, ApplyRequest, ErrorBody, IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, InitRequest, JoinAnswer,
    JoinOrder, LeaveRequest, PlanAnswer, PlanRequest, RolesRequest, TokenMade, TokenRequest, TokenStatus, Version,
    WithdrawAnswer,
};
pub use remote::serve_remote;
pub use server::serve;
pub use socket::{AdminListener, BindError};
pub use status::Status;

use std::{ops::RangeInclusive, time::Duration};

/// Longest request body; a cluster file of 4 MiB as a JSON text fits, with its line ends and quotes escaped.
pub const MAX_REQUEST_BYTES: usize = 8 << 20;
/// Longest answer that a client takes: the status of a full-size cluster.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Deadline of an answer that only reads the agent's state.
pub const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of a change through Raft; after it the result is unknown.
pub const CHANGE_DEADLINE: Duration = Duration::from_secs(20);
/// Joining asks seeds again and again, and may wait for a snapshot.
pub const JOIN_DEADLINE: Duration = Duration::from_secs(90);
/// HTTP status of a `leave` that wants `confirmed` first.
pub const UNCONFIRMED: u16 = 428;
/// Lifetime of a join token, in seconds: a minute to 30 days.
pub const TOKEN_TTL_S: RangeInclusive<u64> = 60..=30 * 86_400;
/// How many nodes may join with one token.
pub const TOKEN_USES: RangeInclusive<u32> = 1..=1000;
/// How long a remote identity's certificate may last, in seconds: a minute to a year.
pub const IDENTITY_TTL_S: RangeInclusive<u64> = 60..=365 * 86_400;
