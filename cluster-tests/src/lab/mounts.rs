//! What the lab's process 1 mounts: the host's files read-only, little islands on which the script may write.

use super::{disk, job, namespaces, paths};
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount};
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::path::Path;

fn tmpfs(at: &str) -> Result<()> {
    mount("lab", at, "tmpfs", MountFlags::empty(), None).with_context(|| format!("mount a tmpfs at {at}"))
}

/// A folder of the host, read-write.
fn hostfs(folder: &Path, at: &Path) -> Result<()> {
    std::fs::create_dir_all(at).with_context(|| format!("create {}", at.display()))?;
    let option = CString::new(folder.as_os_str().as_encoded_bytes())?;
    mount("host", at, "hostfs", MountFlags::empty(), Some(option.as_c_str()))
        .with_context(|| format!("mount the host's {}", folder.display()))
}

/// In a guest: the bare root, and the job directory of the host at [`paths::JOB`].
pub fn guest(job_folder: &Path) -> Result<()> {
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("mount /proc")?;
    mount("sys", "/sys", "sysfs", MountFlags::empty(), None).context("mount /sys")?;
    for at in ["/run", "/tmp", "/var/lib", "/var/log"] {
        tmpfs(at)?;
    }
    for (at, kind) in [("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")] {
        std::fs::create_dir_all(at)?;
        mount("lab", at, kind, MountFlags::empty(), None).with_context(|| format!("mount {at}"))?;
    }
    // What udev would link; bash needs the first for <(…).
    for (link, to) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        symlink(format!("/proc/self/fd{to}"), Path::new("/dev").join(link))?;
    }
    hostfs(job_folder, Path::new(paths::JOB))
}

/// Where the host itself has IPVS: namespaces of our own, so that two labs do not meet and nothing of the host changes.
pub fn host(job_folder: &Path) -> Result<()> {
    namespaces::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWUTS)
        .context("leave the host's namespaces")?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("make mounts private")?;
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("mount /proc")?;
    let _ = rustix::mount::unmount("/sys", rustix::mount::UnmountFlags::DETACH);
    mount("sys", "/sys", "sysfs", MountFlags::empty(), None).context("mount /sys")?;
    // The job directory may lie below what is about to be hidden: hold it by its descriptor.
    let held = std::fs::File::open(job_folder)?;
    tmpfs("/run")?;
    std::fs::create_dir_all(paths::JOB)?;
    use std::os::fd::AsRawFd;
    rustix::mount::mount_bind(format!("/proc/self/fd/{}", held.as_raw_fd()), paths::JOB).context("mount the job directory")?;
    tmpfs("/var/lib")
}

/// Folders the script shares with the host; in a guest the rest of the host is read-only.
pub fn share(order: &job::Job) -> Result<()> {
    if order.guest {
        for folder in &order.shared {
            hostfs(folder, folder)?;
        }
    }
    Ok(())
}

/// `/etc` becomes writable in memory, because the agent's mount point has to be made there.
pub fn etc() -> Result<()> {
    let folder = Path::new(paths::ROOT).join("etc");
    for part in ["upper", "work"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let options = format!("lowerdir=/etc,upperdir={0}/upper,workdir={0}/work", folder.display());
    let options = CString::new(options)?;
    let overlaid = mount("etc", "/etc", "overlay", MountFlags::empty(), Some(options.as_c_str()));
    if overlaid.is_err() {
        link_etc(&folder)?;
    }
    disk::create_mount_points()
}

/// Without overlayfs: a tmpfs full of links to the real `/etc`.
fn link_etc(folder: &Path) -> Result<()> {
    let lower = folder.join("lower");
    std::fs::create_dir_all(&lower)?;
    rustix::mount::mount_bind("/etc", &lower).context("keep /etc within reach")?;
    tmpfs("/etc")?;
    for entry in std::fs::read_dir(&lower)?.flatten() {
        symlink(entry.path(), Path::new("/etc").join(entry.file_name()))?;
    }
    Ok(())
}
