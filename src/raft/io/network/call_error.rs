//! Why a question got no answer.

use crate::{link::frame::FrameError, raft::message::HelloRefusal};
use std::{io, net::SocketAddr, time::Duration};

/// See the variants. Sources are told with the error itself: it is read in lists of what was tried.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens there.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One does not believe the other.
    #[error("no safe connection to {addr}: {source}")]
    Tls {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another node has that address now.
    #[error("another node answers at {addr}: {found}")]
    SomebodyElse {
        /// Where.
        addr: SocketAddr,
        /// Who.
        found: String,
    },
    /// The other side does not talk to us.
    #[error("{addr} refuses to talk: {refusal}")]
    Refused {
        /// Who.
        addr: SocketAddr,
        /// Why.
        #[source]
        refusal: HelloRefusal,
    },
    /// The connection broke.
    #[error("connection to {addr} failed: {source}{}", deeper(source))]
    Broken {
        /// Who.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// The other side closed the connection instead of answering.
    #[error("{addr} closed the connection")]
    Closed {
        /// Who.
        addr: SocketAddr,
    },
    /// No answer in time.
    #[error("{addr} did not answer within {within:?}")]
    Late {
        /// Who.
        addr: SocketAddr,
        /// The deadline.
        within: Duration,
    },
    /// Enough connections are being made already.
    #[error("{addr} has not answered yet")]
    Connecting {
        /// Where.
        addr: SocketAddr,
    },
}

impl CallError {
    /// The question has certainly not been heard.
    pub fn is_unheard(&self) -> bool {
        match self {
            CallError::Connect { .. }
            | CallError::Tls { .. }
            | CallError::SomebodyElse { .. }
            | CallError::Refused { .. }
            | CallError::Connecting { .. } => true,
            CallError::Broken { .. } | CallError::Closed { .. } | CallError::Late { .. } => false,
        }
    }
}

fn deeper(error: &FrameError) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}
