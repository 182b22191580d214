//! Outside the lab: starts it, waits with an eye on the clock on the wall, and leaves nothing behind.
//!
//! The lab, guest kernel and all, lives in a process namespace whose first process dies with this one (`PR_SET_PDEATHSIG`);
//! the kernel then kills the rest. So whatever ends the supervisor, even SIGKILL, ends the lab too, and nothing else.

use super::job::{self, Job};
use super::{init, marks, processor, report, ticks};
use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Exit status of a run that took too long.
pub const TIMED_OUT: i32 = 124;
/// Exit status of a run whose guest died.
pub const GUEST_DIED: i32 = 99;

const PREFIX: &str = "lvs-lab.";
/// Name of the guest kernel's own messages inside the job directory.
const KERNEL_LOG: &str = "kernel.log";
/// The caller's standard output and error as the guest kernel knows them.
const STDIN_FD: i32 = 10;
const STDOUT_FD: i32 = 11;
const STDERR_FD: i32 = 12;
/// Niceness of a guest whose clock is the one on the wall.
const REAL_TIME_PRIORITY: i32 = -15;

/// What to start.
#[derive(Debug)]
pub struct Plan {
    /// The guest kernel; none where the host has IPVS.
    pub kernel: Option<PathBuf>,
    /// The order for the lab's process 1.
    pub job: Job,
    /// The agent's binary.
    pub agent: Option<PathBuf>,
    /// The cluster file to apply.
    pub cluster: Option<PathBuf>,
    /// Wall-clock limit for everything; for each script where there are several.
    pub timeout: Duration,
    /// Memory of the guest.
    pub memory_mb: u32,
}

/// A directory that only this run uses; removed at its end.
struct JobFolder {
    path: PathBuf,
    _lock: File,
}

fn memory_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

impl JobFolder {
    fn create() -> Result<Self> {
        let parent = memory_folder();
        sweep(&parent);
        for attempt in 0..100 {
            let path = parent.join(format!("{PREFIX}{}.{attempt}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let lock = File::create(path.join("lock"))?;
                    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).context("lock the job directory")?;
                    return Ok(Self { path, _lock: lock });
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("create {}", path.display())),
            }
        }
        bail!("no free name for a job directory in {}", parent.display())
    }
}

impl Drop for JobFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes the directories of runs that were killed: those whose lock nobody holds.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let Ok(lock) = File::open(entry.path().join("lock")) else {
            continue;
        };
        if ours && rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs a lab to its end; the exit status is the script's, or [`TIMED_OUT`], or [`GUEST_DIED`].
pub fn run(plan: &Plan) -> Result<i32> {
    if !rustix::process::geteuid().is_root() {
        bail!("the lab needs root: it creates namespaces");
    }
    let start = marks::now();
    let folder = JobFolder::create()?;
    marks::prepare(&folder.path)?;
    plan.job.write(&folder.path)?;
    if let Some(agent) = &plan.agent {
        // A copy, because the guest sees only a part of the host's files; and the build may go on meanwhile.
        std::fs::copy(agent, folder.path.join(job::AGENT)).with_context(|| format!("read the agent {}", agent.display()))?;
    }
    if let Some(cluster) = &plan.cluster {
        std::fs::copy(cluster, folder.path.join(job::CLUSTER))
            .with_context(|| format!("read the cluster file {}", cluster.display()))?;
    }
    let signals = block_signals()?;
    super::namespaces::unshare(UnshareFlags::NEWPID).context("create a process namespace")?;
    let mut keeper = keeper(plan, &folder.path)?;
    let child = keeper.spawn().context("start the lab")?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("watch the lab")?;
    let ended = wait(&pidfd, &signals, &folder.path, plan.timeout)?;
    if !matches!(ended, Ended::ByItself) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
    let keeper_status = init::reap_until(child.id())?;
    marks::report(&plan.job, &folder.path, start)?;
    match ended {
        Ended::ByItself => status(plan, &folder.path, keeper_status),
        Ended::Late => {
            report::note(format!("lab: ended after {} s, the limit of this run (--timeout)", plan.timeout.as_secs()));
            Ok(TIMED_OUT)
        }
        Ended::Asked(signal) => Ok(128 + signal),
    }
}

fn status(plan: &Plan, folder: &Path, keeper_status: i32) -> Result<i32> {
    if plan.kernel.is_none() {
        return Ok(keeper_status);
    }
    if let Some(status) = std::fs::read_to_string(folder.join(job::STATUS)).ok().and_then(|text| text.trim().parse().ok()) {
        return Ok(status);
    }
    let log = std::fs::read_to_string(folder.join(KERNEL_LOG)).unwrap_or_default();
    // The addresses of a stack trace help nobody here.
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim_start().starts_with("[<")).collect();
    let tail = lines[lines.len().saturating_sub(15)..].join("\n");
    report::note(format!(
        "lab: the guest died (status {keeper_status}) before the script ended; the last words of its kernel:\n{tail}"
    ));
    Ok(GUEST_DIED)
}

enum Ended {
    ByItself,
    Late,
    Asked(i32),
}

/// Signals that end a run are read from a descriptor instead of ending us at once.
fn block_signals() -> Result<OwnedFd> {
    // SAFETY: sigset_t is plain data initialised by sigemptyset; the descriptor is ours alone.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC);
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("listen for signals");
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn unblock_signals() {
    // SAFETY: as above; called between fork and exec.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// How often the marks are looked at, for the beginning of another script.
const LOOK: Duration = Duration::from_secs(1);

fn wait(lab: &OwnedFd, signals: &OwnedFd, job_folder: &Path, timeout: Duration) -> Result<Ended> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (mut end, mut begun) = (ticks::now() + timeout, 0);
    loop {
        let scripts = marks::scripts(job_folder);
        if scripts != begun {
            (end, begun) = (ticks::now() + timeout, scripts);
        }
        let left = end.saturating_sub(ticks::now());
        if left.is_zero() {
            return Ok(Ended::Late);
        }
        let left = left.min(LOOK);
        let left = Timespec { tv_sec: i64::try_from(left.as_secs())?, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(lab, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => {}
            Ok(_) if !fds[0].revents().is_empty() => return Ok(Ended::ByItself),
            Ok(_) => {
                let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
                rustix::io::read(signals, &mut info).context("read a signal")?;
                let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                return Ok(Ended::Asked(i32::try_from(number)?));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the lab"),
        }
    }
}

/// The command that becomes the first process of the new process namespace.
fn keeper(plan: &Plan, folder: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("find this binary")?);
    command.arg("keeper").arg(folder);
    if let Some(kernel) = &plan.kernel {
        command.arg(kernel).arg(plan.memory_mb.to_string());
    }
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            unblock_signals();
            Ok(())
        });
    }
    Ok(command)
}

/// True where a guest kernel (Linux 6.16 or later) can catch system calls by seccomp, which is twice as fast as tracing; `auto` falls back
/// to tracing where the machine does not let it.
fn knows_seccomp(kernel: &Path) -> Result<bool> {
    let program = std::fs::read(kernel).with_context(|| format!("read the guest kernel {}", kernel.display()))?;
    let help = b"seccomp=<on/auto/off>";
    Ok(program.windows(help.len()).any(|words| words == help))
}

/// First process of the namespace: is the lab's process 1 itself, or has the guest kernel as its child.
pub fn keep(folder: &Path, kernel: Option<&Path>, memory_mb: u32) -> Result<i32> {
    let Some(kernel) = kernel else {
        return init::in_place(folder);
    };
    let order = Job::read(folder)?;
    // Held until the guest has ended. A lab that cannot be bound is slower, and says so.
    let _place = processor::bind().unwrap_or_else(|error| {
        report::note(format!("lab: the guest is not bound to a processor, and slower for it: {error:#}"));
        None
    });
    if order.time == "real" {
        // What runs on the machine besides does not stop the guest's clock. Not allowed everywhere, and not needed everywhere.
        let _ = rustix::process::setpriority_process(None, REAL_TIME_PRIORITY);
    }
    let mut command = Command::new(kernel);
    command
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "loglevel=3", "panic=-1"])
        .args(["con=null", "con0=null,fd:1", "console=tty0"])
        .arg(format!("mem={memory_mb}M"))
        .arg(format!("uml_dir={}", folder.display()))
        .arg(format!("con2=null,fd:{STDERR_FD}"))
        .arg(if order.keep { format!("con1=fd:{STDIN_FD},fd:{STDOUT_FD}") } else { format!("con1=null,fd:{STDOUT_FD}") })
        .arg(format!("init={}", std::env::current_exe()?.display()))
        .arg(format!("LVS_LAB_JOB={}", folder.display()));
    if order.time == "virtual" {
        command.arg("time-travel=inf-cpu");
    }
    if knows_seccomp(kernel)? {
        command.arg("seccomp=auto");
    }
    let log = File::create(folder.join(KERNEL_LOG)).context("open the kernel's log")?;
    writeln!(&log, "{command:?}")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // The guest's memory is a file here; on a disk every write to it would go to the disk.
    command.env_clear().env("TMPDIR", memory_folder()).env("HOME", folder).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let outer = [(0, STDIN_FD), (1, STDOUT_FD), (2, STDERR_FD)].map(|(from, to)| {
        // SAFETY: duplicates a standard stream of this process to a high number.
        let copy = unsafe { libc::fcntl(from, libc::F_DUPFD_CLOEXEC, 100) };
        (copy, to)
    });
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            for (copy, to) in outer {
                if libc::dup2(copy, to) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let guest = command.spawn().with_context(|| format!("start the guest kernel {}", kernel.display()))?;
    for (copy, _) in outer {
        // SAFETY: ours, made above; the guest has its own.
        drop(unsafe { OwnedFd::from_raw_fd(copy.as_raw_fd()) });
    }
    init::reap_until(guest.id())
}
