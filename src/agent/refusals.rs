//! How a failure of this agent reads to an operator.

use crate::{api::AdminError, base::errors::with_sources, raft::ProposeError};

/// How a proposal's failure reads to an operator.
pub fn refused(error: ProposeError) -> AdminError {
    match error {
        ProposeError::Refused(refusal) => refusal.into(),
        ProposeError::NotSeen => AdminError::Timeout(error.to_string()),
        other => AdminError::NoQuorum(with_sources(&other)),
    }
}

/// A refusal with everything that caused it.
pub fn wrong(error: &dyn std::error::Error) -> AdminError {
    AdminError::Refused(with_sources(error))
}
