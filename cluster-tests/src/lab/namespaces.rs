//! The namespaces of a host: network (named, so that `ip netns` knows it) and mount (so that it sees its own disk).

use super::hosts::Host;
use super::{disk, paths};
use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::{CpuSet, LinkNameSpaceType, UnshareFlags, move_into_link_name_space, sched_getaffinity, sched_setaffinity};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).with_context(|| format!("open {}", path.display()))
}

/// Steps into the namespaces of process 1, wherever the caller stands; the verbs that work on the switch begin with this.
pub fn enter_root() -> Result<()> {
    let net = open(Path::new("/proc/1/ns/net"))?;
    let mnt = open(Path::new("/proc/1/ns/mnt"))?;
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).context("enter the switch's network namespace")?;
    move_into_link_name_space(mnt.as_fd(), Some(LinkNameSpaceType::Mount)).context("enter the lab's mount namespace")?;
    Ok(())
}

/// The two namespaces of a host that is up, held open.
pub struct Room {
    host: Host,
    net: OwnedFd,
    mnt: OwnedFd,
}

impl Room {
    /// Opens a host's namespaces; call from the root namespaces.
    pub fn open(host: Host) -> Result<Self> {
        let (_, net) = net(host)?.with_context(|| is_off(host))?;
        Ok(Self { host, net, mnt: open(&paths::mount_ns(host))? })
    }

    /// Moves the calling process onto the host. Safe between fork and exec: system calls only.
    pub fn enter(&self) -> std::io::Result<()> {
        move_into_link_name_space(self.net.as_fd(), Some(LinkNameSpaceType::Network))?;
        move_into_link_name_space(self.mnt.as_fd(), Some(LinkNameSpaceType::Mount))?;
        unshare(UnshareFlags::NEWUTS)?;
        Ok(rustix::system::sethostname(self.host.name().as_bytes())?)
    }
}

/// What `statfs` calls the file system of namespaces (`NSFS_MAGIC`, include/uapi/linux/magic.h).
const NSFS: i64 = 0x6e73_6673;

/// A host's network namespace and its number; none where the host is powered off, or is losing or getting its power just now:
/// then there is no file, or a plain one that the namespace is not mounted on any more, or not yet.
fn net(host: Host) -> Result<Option<(u64, OwnedFd)>> {
    let path = paths::netns(host);
    let fd = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {}", path.display())),
    };
    if rustix::fs::fstatfs(&fd)?.f_type != NSFS {
        return Ok(None);
    }
    Ok(Some((rustix::fs::fstat(&fd)?.st_ino, fd)))
}

/// Runs `look` inside a host's network namespace and comes back; none where the host has no power.
pub fn within_net_if_up<T>(host: Host, look: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
    let Some((_, net)) = net(host)? else { return Ok(None) };
    let home = open(Path::new("/proc/thread-self/ns/net"))?;
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network)).with_context(|| format!("enter {host}"))?;
    let seen = look();
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network)).context("come back from a host")?;
    seen.map(Some)
}

/// As [`within_net_if_up`], for a host that must have power.
pub fn within_net<T>(host: Host, look: impl FnOnce() -> Result<T>) -> Result<T> {
    within_net_if_up(host, look)?.with_context(|| is_off(host))
}

fn is_off(host: Host) -> String {
    format!("{host} is powered off (power-on {host} brings it back)")
}

/// True while the host has power.
pub fn is_up(host: Host) -> bool {
    inode(host).is_some()
}

/// Number by which the kernel knows the host's network namespace in this life of the host.
pub fn inode(host: Host) -> Option<u64> {
    net(host).ok().flatten().map(|(inode, _)| inode)
}

/// Leaves the shared namespaces named by `flags`.
pub fn unshare(flags: UnshareFlags) -> std::io::Result<()> {
    // A mount namespace is pinned in another only if its number is higher (`mnt_ns_loop` in the kernel's fs/namespace.c), and Linux 6.18 gives
    // each processor numbers of its own: so that later ones are higher, all are made on the same.
    let processors = if flags.contains(UnshareFlags::NEWNS) { Some(sched_getaffinity(None)?) } else { None };
    if let Some(first) = processors.as_ref().and_then(|all| (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu))) {
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one)?;
    }
    // SAFETY: the lab is single-threaded, and file descriptors (CLONE_FILES) are never unshared.
    let unshared = unsafe { rustix::thread::unshare_unsafe(flags) };
    if let Some(all) = processors {
        sched_setaffinity(None, &all)?;
    }
    Ok(unshared?)
}

/// Makes `/run/netns` a mount whose changes reach every host, as `ip netns add` would.
pub fn prepare() -> Result<()> {
    std::fs::create_dir_all(paths::NETNS)?;
    rustix::mount::mount_bind(paths::NETNS, paths::NETNS).context("mount /run/netns onto itself")?;
    rustix::mount::mount_change(paths::NETNS, MountPropagationFlags::SHARED).context("share /run/netns")?;
    Ok(())
}

fn pin(namespace: &Path, at: &Path) -> Result<()> {
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::create(at).with_context(|| format!("create {}", at.display()))?;
    rustix::mount::mount_bind(namespace, at).with_context(|| format!("pin a namespace at {}", at.display()))
}

/// Creates both namespaces of a host; its disk must be there. Call from the root namespaces.
pub fn create(host: Host) -> Result<()> {
    let home_net = open(Path::new("/proc/self/ns/net"))?;
    let home_mnt = open(Path::new("/proc/self/ns/mnt"))?;
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));

    unshare(UnshareFlags::NEWNET).context("create a network namespace")?;
    pin(Path::new("/proc/thread-self/ns/net"), &paths::netns(host))?;
    unshare(UnshareFlags::NEWNS).context("create a mount namespace")?;
    let furnished = furnish(host);
    let mnt = open(Path::new("/proc/thread-self/ns/mnt"))?;

    move_into_link_name_space(home_mnt.as_fd(), Some(LinkNameSpaceType::Mount)).context("come back to the lab's mounts")?;
    move_into_link_name_space(home_net.as_fd(), Some(LinkNameSpaceType::Network)).context("come back to the switch")?;
    let _ = std::env::set_current_dir(cwd);
    furnished?;
    let fd = PathBuf::from(format!("/proc/self/fd/{}", mnt.as_raw_fd()));
    pin(&fd, &paths::mount_ns(host))
}

/// Inside the host's new namespaces: its own /sys and its own disk.
fn furnish(host: Host) -> Result<()> {
    let _ = rustix::mount::unmount("/sys", UnmountFlags::DETACH);
    rustix::mount::mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None).context("mount the host's /sys")?;
    for (from, to) in disk::bindings(host) {
        rustix::mount::mount_bind(&from, to).with_context(|| format!("mount {} at {to}", from.display()))?;
    }
    Ok(())
}

/// Forgets both namespaces of a host; they go when the last process in them has gone.
pub fn destroy(host: Host) -> Result<()> {
    for pinned in [paths::mount_ns(host), paths::netns(host)] {
        rustix::mount::unmount(&pinned, UnmountFlags::DETACH).with_context(|| format!("unpin {}", pinned.display()))?;
        std::fs::remove_file(&pinned).with_context(|| format!("remove {}", pinned.display()))?;
    }
    Ok(())
}
