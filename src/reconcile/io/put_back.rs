//! Puts this machine's kernel back by what the data directory says that the agent changed: where no reconciling runs.

use super::OwnedVips;
use crate::{
    kernel::{
        DataPlaneError,
        io::{Linux, address::AddressError},
    },
    reconcile::task::{WithdrawError, withdraw},
};
use std::path::Path;

/// Why not all was put back.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// The kernel cannot be spoken with.
    #[error(transparent)]
    Open(#[from] AddressError),
    /// The record of the cluster's VIPs cannot be read.
    #[error(transparent)]
    Record(#[from] DataPlaneError),
    /// Something stays in the kernel.
    #[error(transparent)]
    Left(#[from] WithdrawError),
}

/// Removes the cluster's services and VIPs from this machine's kernel and puts the former sysctls back. How many changes that took.
///
/// # Errors
/// What is left; calling again tries again.
pub async fn put_back(data_dir: &Path) -> Result<usize, PutBackError> {
    let (mut data_plane, mut owned) = (Linux::open(data_dir)?, OwnedVips::open(data_dir)?);
    Ok(withdraw(&mut data_plane, &mut owned).await?)
}
