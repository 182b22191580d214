//! Power: a host that is switched off is gone at once, cable first, and only its disk stays.

use super::hosts::Host;
use super::{daemons, disk, faults, lan, namespaces, procs};
use anyhow::{Result, bail};
use std::time::Duration;

/// Destroys a host as a power cut would. The cable goes first, so that dying sockets send no last word to anyone.
pub fn off(host: Host) -> Result<()> {
    let Some(inode) = namespaces::inode(host) else { bail!("{host} is powered off already") };
    lan::unplug(host)?;
    procs::kill_namespace(inode, Duration::from_secs(10))?;
    namespaces::destroy(host)?;
    disk::forget_runtime(host)
}

/// Brings hosts up with a fresh kernel state and the disks they had; faults of their cables are still there.
pub fn on(hosts: &[Host]) -> Result<()> {
    for &host in hosts {
        if namespaces::is_up(host) {
            bail!("{host} has power already");
        }
        namespaces::create(host)?;
    }
    lan::plug(hosts)?;
    faults::reapply(hosts)?;
    for &host in hosts {
        daemons::boot(host)?;
    }
    Ok(())
}
