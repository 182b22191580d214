//! Keeps the guard on time: memory locked, a low real-time priority. Both are best effort.

use crate::base::io::{memory, privilege::unlimit_locked_memory};
use caps::Capability;
use std::io;

/// The lowest real-time priority: before every ordinary process, after the kernel's own threads.
const PRIORITY: i32 = 1;

/// Locks this process's memory and makes it a real-time one. What is refused is logged once; the lease is safe without, only less punctual.
///
/// Children do not inherit either: `SCHED_RESET_ON_FORK`, and memory locks end at fork (mlockall(2)). Returns the capabilities that this
/// must go on having: memory that is locked counts against a limit at every allocation, unless the limit could be lifted.
#[must_use]
pub fn keep_on_time() -> &'static [Capability] {
    let unlimited = unlimit_locked_memory();
    // Taking a VIP off must not wait for a page of code from a disk that hangs. What that takes has been touched and so is locked before a VIP is held: the holder side of
    // each group begins with a removal. The parts of the program that only the worker runs are not pinned.
    memory::load_in_small_pieces();
    memory::forget_start();
    if let Err(error) = memory::lock() {
        tracing::warn!(%error, "cannot lock memory: under memory pressure leases may be lost");
    }
    if let Err(error) = real_time() {
        tracing::warn!(%error, "cannot get real-time priority: on a busy machine leases may be lost");
    }
    if unlimited { &[] } else { &[Capability::CAP_IPC_LOCK] }
}

fn real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: the pointer is to a live local that the call only reads; 0 is the calling thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
