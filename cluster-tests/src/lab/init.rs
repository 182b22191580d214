//! Process 1 of the lab: sets everything up, runs the script, keeps its exit status, and ends the lab.

use super::hosts::{Host, REAL_SERVERS, VIP};
use super::job::{self, Job};
use super::marks::{self, Mark};
use super::{cli, cluster, disk, each, lan, mounts, namespaces, paths, power, report, run, wall_clock};
use anyhow::{Context, Result};
use rustix::process::{Pid, WaitOptions};
use rustix::system::RebootCommand;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Exit status of a lab that could not be set up.
pub const SETUP_FAILED: i32 = 98;

/// Kernel modules a modular guest kernel needs at hand; the rest loads itself.
const MODULES: [&str; 12] = [
    "ip_vs",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_sh",
    "ip_vs_mh",
    "veth",
    "bridge",
    "sch_ingress",
    "cls_flower",
    "sch_netem",
];

/// Process 1 of a guest kernel: never returns.
pub fn guest(job_folder: &Path) -> ! {
    let status = match console().and_then(|()| mounts::guest(job_folder)).and_then(|()| whole(Path::new(paths::JOB))) {
        Ok(status) => status,
        Err(error) => {
            report::note(format!("lab: {error:#}"));
            SETUP_FAILED
        }
    };
    let _ = std::fs::write(Path::new(paths::JOB).join(job::STATUS), status.to_string());
    for fd in [1, 2] {
        // SAFETY: waits for the console; a descriptor that is no terminal is refused by the kernel.
        let _ = unsafe { libc::tcdrain(fd) };
    }
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
    std::process::exit(status)
}

/// Process 1 of a private process namespace on a host that has IPVS itself.
pub fn in_place(job_folder: &Path) -> Result<i32> {
    wall_clock::guard_machine()?;
    mounts::host(job_folder)?;
    whole(Path::new(paths::JOB))
}

fn whole(job_folder: &Path) -> Result<i32> {
    let order = Job::read(job_folder)?;
    if order.each {
        return each::run(order, job_folder);
    }
    set_up(&order, job_folder).context("the lab could not be set up")?;
    let status = run_script(&order, &order.script, None)?;
    if order.keep {
        report::note(format!("lab: the script ended with status {status}; the lab stays up until this shell ends"));
        shell(&order)?;
    }
    Ok(status)
}

/// Standard output and error of everything in the guest: two consoles, raw, so that not a byte is changed on its way.
fn console() -> Result<()> {
    let null = OpenOptions::new().read(true).open("/dev/null").context("open /dev/null")?;
    let out = OpenOptions::new().write(true).open("/dev/tty1").context("open /dev/tty1")?;
    let err = OpenOptions::new().write(true).open("/dev/tty2").context("open /dev/tty2")?;
    for (file, fd) in [(null, 0), (out, 1), (err, 2)] {
        // SAFETY: plain system calls on descriptors we own; termios is plain data, for which zeroes are valid.
        unsafe {
            let mut mode: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(file.as_raw_fd(), &raw mut mode) == 0 {
                libc::cfmakeraw(&raw mut mode);
                libc::tcsetattr(file.as_raw_fd(), libc::TCSANOW, &raw const mode);
            }
            libc::dup2(file.as_raw_fd(), fd);
        }
    }
    Ok(())
}

/// Everything before the script: mounts, hosts, the cluster.
pub fn set_up(order: &Job, job_folder: &Path) -> Result<()> {
    mounts::share(order)?;
    for folder in ["bin", "mnt", "disk", "runtime", "log"] {
        std::fs::create_dir_all(Path::new(paths::ROOT).join(folder))?;
    }
    mounts::etc()?;
    install(job_folder)?;
    adopt_environment(order);
    load_modules()?;
    if order.guest {
        make_room_for_neighbours()?;
    }
    namespaces::prepare()?;
    lan::create_switch()?;
    let hosts: Vec<Host> = Host::all().collect();
    hosts.iter().try_for_each(|&host| disk::create(host))?;
    power::on(&hosts)?;
    marks::set(&Mark::Booted);
    let Some(file) = cluster_file(job_folder)? else {
        return Ok(());
    };
    let members: Vec<Host> = Host::nodes().collect();
    cluster::form(&file, &members, order.default_cluster).context("form the cluster")
}

/// Puts the cluster file where scripts expect it. None where they form the cluster themselves, by `form-cluster` or by hand: then it is the
/// lab's own.
pub fn cluster_file(job_folder: &Path) -> Result<Option<PathBuf>> {
    let given = job_folder.join(job::CLUSTER);
    if !given.exists() {
        std::fs::write(paths::CLUSTER, cluster::DEFAULT).context("write the cluster file")?;
        return Ok(None);
    }
    std::fs::copy(&given, paths::CLUSTER).context("copy the cluster file")?;
    Ok(Some(paths::CLUSTER.into()))
}

/// Makes the environment of the order this process's own, and so that of everything in the lab.
pub fn adopt_environment(order: &Job) {
    let environment = environment(order);
    // SAFETY: the lab is single-threaded.
    unsafe {
        for (name, value) in &environment {
            std::env::set_var(name, value);
        }
        // Last, because the table of hosts is made by what the environment says.
        std::env::set_var("HOSTS", Host::names());
    }
}

/// Puts this binary under the name of each verb, and the agent, where running them is fast.
fn install(job_folder: &Path) -> Result<()> {
    let bin = Path::new(paths::BIN);
    let own = bin.join("lvs-lab");
    std::fs::copy("/proc/self/exe", &own).context("copy the lab's binary")?;
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755))?;
    for verb in cli::verbs() {
        symlink("lvs-lab", bin.join(verb))?;
    }
    let given = job_folder.join(job::AGENT);
    if !given.exists() {
        return Ok(());
    }
    let agent = bin.join("lvs-agent");
    std::fs::copy(&given, &agent).context("copy the agent")?;
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn environment(order: &Job) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = order.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    // What the caller asks for is in the order; this process's own environment is the kernel's.
    let asked = order.env.iter().find(|(name, _)| *name == "LVS_LAB_OUT").map(|(_, folder)| folder.clone());
    let logs = asked.unwrap_or_else(|| paths::logs().to_string_lossy().into_owned());
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", paths::BIN);
    for (name, value) in [
        ("PATH", path),
        ("HOME", "/root".into()),
        ("VIP", VIP.to_string()),
        (REAL_SERVERS, order.real_servers.to_string()),
        (disk::ZONES, order.zones.to_string()),
        ("LVS_LAB_CLUSTER", paths::CLUSTER.into()),
        ("LVS_LAB_LOG", logs),
        ("LVS_LAB_TIME", order.time.clone()),
        ("LVS_LAB_GUEST", if order.guest { "yes" } else { "no" }.into()),
        // Standard error is a console here, whatever it is outside.
        ("NO_COLOR", "1".into()),
    ] {
        environment.push((name.to_owned(), value));
    }
    environment
}

/// Debian's guest kernel is modular, and its modules are not where modprobe looks for them.
fn load_modules() -> Result<()> {
    if !Path::new("/proc/modules").exists() {
        return Ok(());
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let stored = format!("/usr/lib/uml/modules/{release}");
    if Path::new(&stored).is_dir() {
        let root = Path::new(paths::ROOT).join("modules");
        std::fs::create_dir_all(root.join("lib/modules"))?;
        symlink(&stored, root.join("lib/modules").join(&release))?;
        let wrapper = Path::new(paths::BIN).join("modprobe");
        std::fs::write(&wrapper, format!("#!/bin/sh\nexec /sbin/modprobe -d {} \"$@\"\n", root.display()))?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
        std::fs::write("/proc/sys/kernel/modprobe", wrapper.as_os_str().as_encoded_bytes())
            .context("tell the kernel its modprobe")?;
    }
    let mut args = vec!["-a", "-q"];
    args.extend(MODULES);
    // A built-in or absent module is not an error here: what is really missing fails by name when it is used.
    if let Err(error) = run::quiet("modprobe", &args) {
        report::note(format!("lab: {error:#}"));
    }
    Ok(())
}

/// The hosts share the kernel's one table of neighbours; its 1024 entries are few where 30 or more all talk to each other.
fn make_room_for_neighbours() -> Result<()> {
    for threshold in 1..=3 {
        let setting = format!("/proc/sys/net/ipv4/neigh/default/gc_thresh{threshold}");
        std::fs::write(&setting, "16384").with_context(|| format!("write {setting}"))?;
    }
    Ok(())
}

/// Runs a script with its arguments, to the end. It writes to `output`, or where the lab does.
pub fn run_script(order: &Job, script: &[PathBuf], output: Option<File>) -> Result<i32> {
    let mut command = Command::new("/bin/bash");
    command.args(script).current_dir(&order.cwd);
    if order.guest {
        command.stdin(Stdio::null());
    }
    if let Some(output) = output {
        command.stderr(output.try_clone().context("share the script's output")?).stdout(output);
    }
    let script = command.spawn().with_context(|| format!("start bash in {}", order.cwd.display()))?;
    reap_until(script.id())
}

/// Reaps all children, which must be dying.
pub fn reap_all() -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error).context("wait for what was killed"),
        }
    }
}

/// Reaps whatever dies, as process 1 must, until this child has.
pub fn reap_until(child: u32) -> Result<i32> {
    let child = i32::try_from(child).ok().and_then(Pid::from_raw).context("a process has a number")?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(signal).unwrap_or(SETUP_FAILED));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the script"),
        }
    }
}

fn shell(order: &Job) -> Result<()> {
    let mut command = Command::new("/bin/bash");
    command.args(["--norc", "-i"]).env("PS1", "lab:\\w\\$ ").current_dir(&order.cwd);
    if order.guest {
        let tty = || OpenOptions::new().read(true).write(true).open("/dev/tty1").context("open /dev/tty1");
        command.stdin(tty()?).stdout(tty()?).stderr(tty()?);
        // SAFETY: system calls only; zeroed termios is overwritten by tcgetattr before it is used.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                let mut mode: libc::termios = std::mem::zeroed();
                if libc::tcgetattr(0, &raw mut mode) == 0 {
                    mode.c_iflag |= libc::ICRNL;
                    mode.c_oflag |= libc::OPOST | libc::ONLCR;
                    mode.c_lflag |= libc::ISIG | libc::ICANON | libc::ECHO | libc::ECHOE | libc::ECHOK | libc::IEXTEN;
                    libc::tcsetattr(0, libc::TCSANOW, &raw const mode);
                }
                Ok(())
            });
        }
    }
    let shell = command.spawn().context("start a shell")?;
    reap_until(shell.id()).map(drop)
}
