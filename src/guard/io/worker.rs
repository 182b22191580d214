//! The worker as the guard sees it: a child process at the other end of a socketpair.

use crate::{
    guard::{
        io::{channel::GUARD_FD, child, environment},
        protocol::{MAX_FRAME_BYTES, ToGuard, ToWorker},
    },
    health::io::script::RUNNER_FD,
    link::frame::{self, FrameError},
};
use rustix::process::Signal;
use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    path::PathBuf,
    process::{Command as StdCommand, ExitStatus, Stdio},
    sync::Arc,
};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
};

/// Frames read and not yet looked at. The guard looks at each before the next datagram, so that a few are enough; a full queue holds the worker back.
const FRAMES_QUEUED: usize = 16;
/// Frames not yet written. The guard sends on changes only; a worker that lets so many pile up does not read.
const REPLIES_QUEUED: usize = 256;

/// How the worker is started.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments. It finds its end of the socketpair by [`GUARD_FD`] in its environment.
    pub args: Vec<OsString>,
    /// The way to the script runner, if there is one: every worker is handed the same, by [`RUNNER_FD`].
    pub runner: Option<Arc<OwnedFd>>,
}

/// What a worker did.
#[derive(Debug)]
pub enum WorkerDid {
    /// It said something.
    Said(ToGuard),
    /// It said something that is not understood. It is of no use any more.
    Broke(FrameError),
    /// Its process is gone, and reaped.
    Exited(io::Result<ExitStatus>),
}

/// The worker does not read what it is told.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the worker does not read what the guard tells it")]
pub struct NotReading;

/// A running worker. Dropping it kills the process.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    frames: mpsc::Receiver<Result<ToGuard, FrameError>>,
    replies: mpsc::Sender<ToWorker>,
}

impl WorkerProcess {
    /// Starts it; one of a node that is `withdrawn` does not put it back in service. The process dies with this one's main thread, whatever ends that.
    pub fn start(command: &WorkerCommand, withdrawn: bool) -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        let child = spawn(command, &theirs, withdrawn)?;
        drop(theirs);
        ours.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(ours)?.into_split();
        let (frame_in, frames) = mpsc::channel(FRAMES_QUEUED);
        let (replies, reply_out) = mpsc::channel(REPLIES_QUEUED);
        // Both end with the process, which closes its end, or with this value, which closes the queues.
        tokio::spawn(read_frames(reader, frame_in));
        tokio::spawn(write_frames(writer, reply_out));
        Ok(Self { child, frames, replies })
    }

    /// Its process id, until it has been reaped.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for what it does next. Cancel-safe.
    pub async fn next(&mut self) -> WorkerDid {
        match self.frames.recv().await {
            Some(Ok(frame)) => WorkerDid::Said(frame),
            Some(Err(why)) => WorkerDid::Broke(why),
            // It closed its end, as it does on its way out. If it stays all the same, its silence will be noticed.
            None => WorkerDid::Exited(self.child.wait().await),
        }
    }

    /// Tells it something; it is written as soon as it reads.
    pub fn tell(&self, what: ToWorker) -> Result<(), NotReading> {
        match self.replies.try_send(what) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(NotReading),
            // It closed its end: its exit is about to be seen.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// SIGKILL; its end still has to be awaited.
    pub fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::error!(%error, "cannot kill the worker");
        }
    }
}

fn spawn(command: &WorkerCommand, theirs: &StdUnixStream, withdrawn: bool) -> io::Result<Child> {
    let fd = theirs.as_raw_fd();
    let mut std_command = StdCommand::new(&command.program);
    std_command.args(&command.args).env(GUARD_FD, fd.to_string()).env_remove(RUNNER_FD).stdin(Stdio::null());
    let mut kept = vec![fd];
    if let Some(runner) = &command.runner {
        std_command.env(RUNNER_FD, runner.as_raw_fd().to_string());
        kept.push(runner.as_raw_fd());
    }
    // SAFETY: the first is open until `theirs` is dropped, after the exec, the other as long as `command` lives.
    unsafe { child::tie(&mut std_command, Signal::KILL, kept) };
    environment::tell(&mut std_command, withdrawn);
    Command::from(std_command).kill_on_drop(true).spawn()
}

async fn read_frames(mut reader: OwnedReadHalf, frames: mpsc::Sender<Result<ToGuard, FrameError>>) {
    while let Some(frame) = frame::read_frame(&mut reader, MAX_FRAME_BYTES).await.transpose() {
        let last = frame.is_err();
        if frames.send(frame).await.is_err() || last {
            return;
        }
    }
}

async fn write_frames(mut writer: OwnedWriteHalf, mut replies: mpsc::Receiver<ToWorker>) {
    while let Some(reply) = replies.recv().await {
        if let Err(error) = frame::write_frame(&mut writer, &reply, MAX_FRAME_BYTES).await {
            return tracing::debug!(%error, "worker does not listen any more");
        }
    }
}
