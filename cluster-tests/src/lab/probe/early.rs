//! Ending before the time is up: SIGTERM asks a probe or a watch to stop there and tell what it has seen.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From here on SIGTERM is heard; it interrupts a wait.
pub fn listen() -> Result<()> {
    // SAFETY: plain data for which zeroes are valid, and a handler that only stores a flag.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGTERM, &raw const action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("listen for SIGTERM") }
}

/// True once it has come.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
