//! The clock on the wall: a guest's may be set by scripts; this machine's must not be, by anything that runs in a lab.

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use std::time::Duration;

/// Only a guest's kernel is told of the job on its command line.
const GUEST_MARK: &str = "LVS_LAB_JOB=";

/// Where the lab is in namespaces of the machine itself, no program of it may set the clock or end the machine: both are not in any namespace.
pub fn guard_machine() -> Result<()> {
    for capability in [CapabilitySet::SYS_TIME, CapabilitySet::SYS_BOOT] {
        remove_capability_from_bounding_set(capability).with_context(|| format!("give up {capability:?}"))?;
    }
    Ok(())
}

fn is_guest(command_line: &str) -> bool {
    command_line.split_whitespace().any(|word| word.starts_with(GUEST_MARK))
}

/// Sets a guest's clock ahead. What counts from the start of the kernel does not notice.
pub fn ahead(by: Duration) -> Result<()> {
    let command_line = std::fs::read_to_string("/proc/cmdline").context("read /proc/cmdline")?;
    if !is_guest(&command_line) {
        bail!("this lab has no kernel of its own: its clock is the machine's, and stays as it is");
    }
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    let then = Timespec { tv_sec: tv_sec.saturating_add(i64::try_from(by.as_secs())?), tv_nsec };
    clock_settime(ClockId::Realtime, then).context("set the clock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_not_taken_for_a_guest() {
        assert!(is_guest("root=/dev/root LVS_LAB_JOB=/dev/shm/x mem=1024M\n"));
        assert!(!is_guest("BOOT_IMAGE=/vmlinuz root=/dev/vda1 quiet\n"));
        assert!(!is_guest(""));
    }

    #[test]
    fn outside_a_guest_the_clock_is_refused() {
        assert!(ahead(Duration::ZERO).unwrap_err().to_string().contains("no kernel of its own"));
    }
}
