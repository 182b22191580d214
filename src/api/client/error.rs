//! Why there is no answer from an agent.

use crate::api::message::ErrorBody;
use std::{io, path::PathBuf, time::Duration};

/// Why there is no answer, or what it says against the request.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot reach the agent at {}: is `lvs-agent run` running? (systemctl status lvs-agent)", socket.display())]
    NotReachable {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket is root's.
    #[error("not allowed to talk to the agent at {}: run this as root", .0.display())]
    NotAllowed(PathBuf),
    /// No connection to a remote agent comes about.
    #[error("cannot reach the agent at {server}: is `[api] listen` set in its agent.toml?")]
    ServerNotReachable {
        /// Where.
        server: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The remote agent is not the one that was meant, or does not take this client's certificate.
    #[error("no trust between this machine and the agent at {server}: {why}")]
    NotTrusted {
        /// Where.
        server: String,
        /// Who does not trust whom, and why.
        why: String,
    },
    /// It listens but does not answer.
    #[error("the agent did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// It answers something else than this protocol.
    #[error("the agent's answer was not understood: {0}")]
    Protocol(String),
    /// It says no.
    #[error("{}", body.error)]
    Refused {
        /// The HTTP status.
        code: u16,
        /// What it says.
        body: ErrorBody,
    },
}
