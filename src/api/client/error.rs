//! The errors of a request to an agent.

use crate::api::message::ErrorBody;
use std::{io, path::PathBuf, time::Duration};

/// Why there is no answer, or why the agent refused the request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent listens on the socket.
    #[error("cannot reach the agent at {}: is `lvs-agent run` running? (systemctl status lvs-agent)", socket.display())]
    NotReachable {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Only root may use the socket.
    #[error("not allowed to talk to the agent at {}: run this as root", .0.display())]
    NotAllowed(PathBuf),
    /// The remote agent cannot be reached.
    #[error("cannot reach the agent at {server}: is `[api] listen` set in its agent.toml?")]
    ServerNotReachable {
        /// Where.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The remote agent's certificate is not trusted, or it does not accept this client's certificate.
    #[error("no trust between this machine and the agent at {server}: {why}")]
    NotTrusted {
        /// Where.
        server: String,
        /// Which side does not trust the other, and why.
        why: String,
    },
    /// The agent listens but does not answer.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The answer does not follow this protocol.
    #[error("the agent's answer was not understood: {0}")]
    Protocol(String),
    /// The agent refused the request.
    #[error("{}", body.error)]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What it says.
        body: ErrorBody,
    },
}
