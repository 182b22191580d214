//! Why TLS cannot be spoken.

/// Why TLS cannot be spoken with what is given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);
