//! Why a guard does not start, or does not go on.

use super::io::{lock::LockError, runner::RunnerStartError};
use crate::{
    base::io::privilege::PrivilegeError,
    kernel::io::address::AddressError,
    link::{io::files::FileError, node_key::BadKey},
};
use std::{net::SocketAddr, path::PathBuf};

/// Why a guard could not start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The data directory is not this agent's.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Scripts are configured and cannot be run.
    #[error(transparent)]
    Runner(#[from] RunnerStartError),
    /// It would run with more rights than it needs.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// The runtime, its timer or its signals.
    #[error("cannot set up the guard's event loop")]
    Runtime(#[source] std::io::Error),
    /// The UDP address.
    #[error("cannot listen on {listen} (udp): is no other lvs-agent running?")]
    Listen {
        /// Which.
        listen: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Addresses of an earlier run could not be looked for or taken off. A guard that may leave a VIP behind does not start.
    #[error("cannot take off the vips that an earlier run may have left")]
    Sweep(#[source] AddressError),
    /// The list of those addresses.
    #[error("cannot read {path}: remove it if it is damaged, after taking its addresses off by hand")]
    VipFile {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Why nothing can be said in this node's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotSpeak {
    #[error("the worker gave no key to sign with")]
    Key(#[from] BadKey),
    #[error("there is no number for this start")]
    Session(#[from] FileError),
}
