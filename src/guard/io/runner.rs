//! The script runner as the guard sees it: started once, while the guard can still give it rights that it has not itself later.

use crate::{
    guard::io::child,
    health::{
        io::packets,
        script::{MAX_REPORT_BYTES, RunnerReady},
    },
    link::codec,
};
use rustix::{
    net::{
        RecvFlags, recv,
        sockopt::{Timeout, set_socket_timeout},
    },
    process::Signal,
};
use std::{ffi::OsString, io, os::fd::OwnedFd, path::PathBuf, process::Command, time::Duration};

/// It reads two files before it says anything.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// How the runner is started.
#[derive(Clone, Debug)]
pub struct RunnerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments. Its end of the socketpair is its standard input.
    pub args: Vec<OsString>,
}

/// Why no runner runs.
#[derive(Debug, thiserror::Error)]
pub enum RunnerStartError {
    /// It could not be started.
    #[error("cannot start the script runner")]
    Spawn(#[source] io::Error),
    /// It cannot do its work.
    #[error("script checks cannot be run: {0}")]
    Refused(String),
    /// It ended, or hangs, before it said anything.
    #[error("the script runner does not come up: its log says why; without [scripts] in agent.toml none is started")]
    Silent,
}

/// Starts it and waits until it is ready. Returns the worker's end of its socket.
///
/// It ends itself when this process's main thread has gone, whatever ended that; then its scripts are killed. It is not started a second time:
/// this process will not have the rights any more. What is left of one that died is reaped when this process ends.
///
/// # Errors
/// There is none.
pub fn start(command: &RunnerCommand) -> Result<OwnedFd, RunnerStartError> {
    let (ours, theirs) = packets::pair().map_err(RunnerStartError::Spawn)?;
    let mut runner = Command::new(&command.program);
    runner.args(&command.args).stdin(theirs);
    // SAFETY: no file is to be kept open but its standard input.
    // The signal is one that it can see to: its scripts are to end as well.
    unsafe { child::tie(&mut runner, Signal::TERM, Vec::new()) };
    runner.spawn().map_err(RunnerStartError::Spawn)?;
    // It holds the runner's end, whose closing is to be seen.
    drop(runner);
    greeted(&ours)?;
    Ok(ours)
}

fn greeted(ours: &OwnedFd) -> Result<(), RunnerStartError> {
    set_socket_timeout(ours, Timeout::Recv, Some(GREETING_LIMIT)).map_err(|errno| RunnerStartError::Spawn(errno.into()))?;
    let mut buffer = vec![0; MAX_REPORT_BYTES];
    let length = rustix::io::retry_on_intr(|| recv(ours, &mut buffer[..], RecvFlags::empty()));
    let (length, _) = length.map_err(|_| RunnerStartError::Silent)?;
    let greeting: RunnerReady = codec::decode(&buffer[..length], MAX_REPORT_BYTES).map_err(|_| RunnerStartError::Silent)?;
    greeting.map_err(RunnerStartError::Refused)
}
