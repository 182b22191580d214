//! What every process that the guard starts has in common: it ends with the guard, and stands apart from it.

use crate::{base::io::inherit, guard::io::notify::ENVIRONMENT};
use rustix::process::Signal;
use std::{
    io,
    os::{fd::RawFd, unix::process::CommandExt},
    process::Command,
};

/// Has `command` start a process that gets `signal` when the thread that started it is gone, whatever ended that. It is in a process group of
/// its own, since Ctrl-C in a terminal is for the guard, and knows nothing of the guard's way to tell systemd. `kept` stay open across the exec.
///
/// # Safety
/// `kept` are open when the command is started.
pub unsafe fn tie(command: &mut Command, signal: Signal, kept: Vec<RawFd>) {
    let guard = rustix::process::getpid();
    for name in ENVIRONMENT {
        command.env_remove(name);
    }
    command.process_group(0);
    // SAFETY: only system calls between fork and exec, on values made before the fork; `kept` are open, says the caller.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            if rustix::process::getppid() != Some(guard) {
                // The guard died before the line above.
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            kept.iter().try_for_each(|fd| inherit::keep_open(*fd))
        });
    }
}
