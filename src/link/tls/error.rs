//! The error of unusable TLS credentials.

/// Why the given certificates and key cannot be used for TLS.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);
