//! `capture`: every frame that passes the switch, once, into a file.

use super::super::lan::BRIDGE;
use super::super::probe::waker::Waker;
use super::super::ticks;
use super::pcap::{MAX_FRAME_BYTES, Writer};
use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// What the kernel may keep for us while others run: seconds of a busy LAN.
const BUFFER_BYTES: libc::c_int = 128 * 1024 * 1024;
const ALL_PROTOCOLS: u16 = 0x0003;

/// What was captured.
#[derive(Debug, Default)]
pub struct Seen {
    frames: u64,
    bytes: u64,
    /// Frames that the kernel had no room for.
    lost: u32,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frames={} bytes={} lost={}", self.frames, self.bytes, self.lost)
    }
}

/// Captures for so long. The file is good at every moment at which the LAN is silent, so this may be killed.
pub fn run(path: &Path, span: Duration) -> Result<Seen> {
    let mut writer = Writer::create(path)?;
    writer.flush()?;
    let socket = listen(BRIDGE).with_context(|| format!("listen on {BRIDGE}"))?;
    let mut waker = Waker::new()?;
    waker.add(&socket, 0, EventFlags::IN)?;
    let mut frame = vec![0; MAX_FRAME_BYTES];
    let mut seen = Seen::default();
    let end = ticks::now() + span;
    while ticks::now() < end {
        waker.sleep_until(end)?;
        let at = ticks::now();
        while let Ok(length) = rustix::io::read(&socket, &mut frame) {
            writer.add(at, &frame[..length])?;
            seen.frames += 1;
            seen.bytes += length as u64;
        }
        writer.flush()?;
    }
    seen.lost = lost(&socket)?;
    Ok(seen)
}

/// A packet socket on the switch itself: in promiscuous mode a bridge shows its host what it forwards between others.
fn listen(interface: &str) -> Result<OwnedFd> {
    let name = CString::new(interface)?;
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain system calls on a descriptor of ours; the structures are plain data, for which zeroes are valid, and each is passed with
    // its length.
    unsafe {
        let index = i32::try_from(libc::if_nametoindex(name.as_ptr())).unwrap_or(0);
        // Protocol 0: nothing is heard before it is bound to the interface.
        let fd = libc::socket(libc::AF_PACKET, kind, 0);
        if fd < 0 {
            return Err(std::io::Error::last_os_error()).context("open a packet socket");
        }
        let socket = OwnedFd::from_raw_fd(fd);
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER_BYTES)?;
        let mut member: libc::packet_mreq = std::mem::zeroed();
        member.mr_ifindex = index;
        member.mr_type = libc::PACKET_MR_PROMISC as libc::c_ushort;
        set(&socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ALL_PROTOCOLS.to_be();
        address.sll_ifindex = index;
        if libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) != 0 {
            return Err(std::io::Error::last_os_error()).context("bind a packet socket");
        }
        Ok(socket)
    }
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> Result<()> {
    // SAFETY: the value outlives the call and its length is passed.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size_of::<T>() as libc::socklen_t)
    };
    if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()).context("set an option of a packet socket") }
}

fn lost(socket: &OwnedFd) -> Result<u32> {
    let mut statistics = [0u32; 2];
    let mut length = size_of_val(&statistics) as libc::socklen_t;
    // SAFETY: the buffer is as long as is said.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            statistics.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(statistics[1]) } else { Err(std::io::Error::last_os_error()).context("count lost frames") }
}
