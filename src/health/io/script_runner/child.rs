//! One run of a script: starts it with the rights of its user and no files of the runner, reads its first line, kills its whole process group.

use super::account::Account;
use crate::health::script::{FirstLine, ScriptEnd, ScriptRun};
use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use std::{
    ffi::CStr,
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, Interest, unix::AsyncFd},
    net::unix::pipe,
    time::{Instant, sleep_until},
};

/// The search path of scripts.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A process's weight when the kernel kills processes for want of memory (proc(5)).
const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";
/// Most bytes of a script's output that are read at a time.
const CHUNK_BYTES: usize = 4 << 10;
/// Most bytes that are read from the pipe after the script has ended: the usual size of a pipe.
const LEFT_BYTES: usize = 64 << 10;

/// A script under way. Dropping it kills its process group.
#[derive(Debug)]
pub struct Script {
    group: Group,
    ended: AsyncFd<OwnedFd>,
    output: Option<pipe::Receiver>,
    line: FirstLine,
}

/// A process that leads a session and a process group. It is reaped only after its group has been killed, so that no other group has its number by
/// then.
#[derive(Debug)]
struct Group {
    leader: Child,
    number: Pid,
    over: bool,
}

impl Group {
    fn kill(&self) {
        match kill_process_group(self.number, Signal::KILL) {
            // No process is left in it.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => tracing::error!(%error, group = self.number.as_raw_pid(), "cannot kill a script"),
        }
    }

    /// Kills it at once, because its end could not be noticed.
    fn give_up(mut self, why: io::Error) -> ScriptEnd {
        self.kill();
        let _ = self.leader.wait();
        self.over = true;
        without("a pidfd")(why)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
    }
}

impl Script {
    /// Starts `file` as `user`. Call it from the runner's main thread, whose end kills the script.
    ///
    /// # Errors
    /// How the run has ended.
    pub fn start(file: &Path, order: &ScriptRun, user: &Account) -> Result<Self, ScriptEnd> {
        let (output, theirs) = io::pipe().map_err(without("a pipe"))?;
        let output = pipe::Receiver::from_owned_fd(output.into()).map_err(without("a pipe"))?;
        let mut command = Command::new(file);
        let errors = theirs.try_clone().map_err(without("a pipe"))?;
        command.args(&order.args).stdin(Stdio::null()).stdout(theirs).stderr(errors).current_dir("/");
        command.env_clear().env("PATH", PATH);
        command.envs(order.subject.variables());
        let (runner, dear, user_ids) = (rustix::process::getpid(), is_dear(), (user.uid, user.gid));
        // SAFETY: only system calls between fork and exec, on values made before the fork.
        unsafe { command.pre_exec(move || become_user(runner, dear, user_ids)) };
        let leader = command.spawn().map_err(|error| cannot_run(file, user, &error))?;
        // `command` has the other end of the pipe open, so the output would never end.
        drop(command);
        let number = Pid::from_child(&leader);
        let group = Group { leader, number, over: false };
        let ended = pidfd_open(number, PidfdFlags::empty()).map_err(io::Error::from);
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives.
        match ended.and_then(|fd| Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)) {
            Ok(ended) => Ok(Self { group, ended, output: Some(output), line: FirstLine::default() }),
            Err(error) => Err(group.give_up(error)),
        }
    }

    /// Waits until the script has ended, or kills it after `limit`. Then no process of its group runs any more. Returns how it ended and its first
    /// line. Afterwards call [`Script::gone`].
    pub async fn end(&mut self, limit: Duration) -> (ScriptEnd, String) {
        let deadline = Instant::now() + limit;
        let mut chunk = [0; CHUNK_BYTES];
        let in_time = loop {
            let read = async {
                match &mut self.output {
                    Some(output) => output.read(&mut chunk).await,
                    None => std::future::pending().await,
                }
            };
            // All arms are cancel-safe. In this order, so that a script that writes without end is still seen to end.
            tokio::select! {
                biased;
                _ = self.ended.readable() => break true,
                () = sleep_until(deadline) => break false,
                read = read => match read {
                    Ok(length) if length > 0 => self.line.take(&chunk[..length]),
                    Ok(_) | Err(_) => self.output = None,
                },
            }
        };
        // This kills the processes that the script has started, too, also if it has ended by itself.
        self.group.kill();
        self.read_what_is_left();
        let ended = if in_time { self.reap() } else { ScriptEnd::TimedOut };
        (ended, self.line.text())
    }

    /// Waits until the process is gone. One that sleeps in the kernel may take long to die, and counts as under way until then.
    pub async fn gone(mut self) {
        if !self.group.over {
            let _ = self.ended.readable().await;
            self.reap();
        }
    }

    /// Reads without waiting: another process that has the pipe open may never close it.
    fn read_what_is_left(&mut self) {
        let Some(output) = self.output.take() else { return };
        let mut chunk = [0; CHUNK_BYTES];
        for _ in 0..LEFT_BYTES / CHUNK_BYTES {
            match output.try_read(&mut chunk) {
                Ok(length) if length > 0 => self.line.take(&chunk[..length]),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Call it after the process has ended and its group has been killed.
    fn reap(&mut self) -> ScriptEnd {
        self.group.over = true;
        match self.group.leader.wait() {
            Ok(status) => status.code().map_or_else(|| ScriptEnd::Killed(status.signal().unwrap_or_default()), ScriptEnd::Exited),
            Err(error) => without("the exit status")(error),
        }
    }
}

/// In the child, between fork and exec: system calls only.
fn become_user(runner: Pid, dear: bool, (uid, gid): (rustix::process::Uid, rustix::process::Gid)) -> io::Result<()> {
    rustix::process::setsid()?;
    if dear {
        // While it is still root's. Best effort: an ordinary process where memory is short.
        let _ = open(OOM_SCORE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|file| rustix::io::write(file, b"0"));
    }
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // After the change of user, which forgets it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(runner) {
        return Err(ErrorKind::BrokenPipe.into());
    }
    // Whatever this process was left by those before it.
    // SAFETY: marks descriptors and does nothing else; those that std needs are marked already. An old kernel may refuse.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// Whether the kernel spares this process when memory is short, as the unit sets it for the guard. A script is not spared.
fn is_dear() -> bool {
    let text = OOM_SCORE.to_str().ok().and_then(|path| std::fs::read_to_string(path).ok());
    text.and_then(|text| text.trim().parse::<i32>().ok()).is_some_and(|score| score < 0)
}

/// Whether the error is for want of something that may be there again soon.
fn may_pass(error: &io::Error) -> bool {
    let lacks = [libc::EAGAIN, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ETXTBSY];
    error.raw_os_error().is_some_and(|code| lacks.contains(&code))
}

/// The end of a run for which `what` could not be had.
fn without(what: &'static str) -> impl Fn(io::Error) -> ScriptEnd {
    move |error| {
        let why = format!("cannot have {what} for a script: {error}");
        if may_pass(&error) { ScriptEnd::NotNow(why) } else { ScriptEnd::Unable(why) }
    }
}

fn cannot_run(file: &Path, user: &Account, error: &io::Error) -> ScriptEnd {
    let file = file.display();
    match error.raw_os_error() {
        _ if may_pass(error) => ScriptEnd::NotNow(format!("cannot start {file}: {error}")),
        Some(libc::ENOENT) => ScriptEnd::Unable(format!("{file} names an interpreter in its first line that is not there")),
        Some(libc::EACCES) => ScriptEnd::Unable(format!(
            "{file} cannot be run by {}: let that user read it and its interpreter, and enter their folders",
            user.name
        )),
        Some(_) | None => ScriptEnd::Unable(format!("cannot start {file} as {}: {error}", user.name)),
    }
}
