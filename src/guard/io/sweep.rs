//! Takes off what an earlier guard may have left on interfaces.

use super::vip_file::{self, Placed};
use crate::kernel::io::{
    address::{AddressError, Addresses, LOOPBACK},
    fence,
};
use std::{io, path::Path};

/// Why not all could be taken off.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The kernel.
    #[error("cannot take off the vips that an earlier run may have left")]
    Addresses(#[from] AddressError),
    /// The list of those addresses.
    #[error("cannot use the list of vips that an earlier run may have left (guard-vips in the data directory)")]
    File(#[source] io::Error),
}

/// Takes off every address with the agent's mark, and those that are `noted`. Never from `lo`: what is there is the real-server role's. How many
/// had the mark.
///
/// # Errors
/// The kernel's. Calling again tries again.
pub async fn sweep(addresses: &Addresses, noted: &Placed) -> Result<usize, AddressError> {
    let marked = addresses.remove_marked().await?;
    for found in &marked {
        tracing::info!(address = %found.address, interface = found.interface, "swept vip of an earlier run");
    }
    // Noted are those that the kernel cannot mark, too.
    for (interface, address) in noted.iter().filter(|(interface, _)| interface != LOOPBACK) {
        addresses.remove(interface, *address).await?;
    }
    Ok(marked.len())
}

/// The same where no guard runs and none may follow: the list is empty afterwards. Whoever calls it has the data directory's lock.
///
/// # Errors
/// What is left; calling again tries again.
pub async fn sweep_left(data_dir: &Path) -> Result<usize, SweepError> {
    let noted = vip_file::read(data_dir).map_err(SweepError::File)?;
    let swept = sweep(&Addresses::open()?, &noted).await?;
    if !noted.is_empty() {
        fence::remove_left();
        vip_file::clear(data_dir).map_err(SweepError::File)?;
    }
    Ok(swept)
}
