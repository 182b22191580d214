//! Who holds an address: asked of each host's kernel over a netlink socket that stays open in its namespace.

use super::hosts::Host;
use super::namespaces;
use anyhow::{Context, Result, bail};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const NLMSG_DONE: u16 = 3;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const IFA_LOCAL: u16 = 2;
/// Scope of loopback addresses (`RT_SCOPE_HOST`): a VIP on `lo` of a real server is not held.
const RT_SCOPE_HOST: u8 = 254;

/// A host's address table, asked again and again.
pub struct Watcher {
    host: Host,
    /// The namespace the socket is in, by inode: another one means that the host has been off meanwhile.
    life: Option<(u64, OwnedFd)>,
    buffer: Vec<u8>,
}

impl Watcher {
    /// A watcher for one host; it need not have power.
    pub fn new(host: Host) -> Self {
        Self { host, life: None, buffer: vec![0; 64 * 1024] }
    }

    /// True while an interface other than `lo` of the host has the address.
    pub fn has(&mut self, address: Ipv4Addr) -> Result<bool> {
        let host = self.host;
        // A namespace that is gone holds nothing, be it gone since the last look or since a moment ago.
        let Some(inode) = namespaces::inode(host) else {
            self.life = None;
            return Ok(false);
        };
        if self.life.as_ref().is_none_or(|(known, _)| *known != inode) {
            let socket = namespaces::within_net_if_up(host, netlink).with_context(|| format!("ask the kernel of {host}"))?;
            self.life = socket.map(|socket| (inode, socket));
        }
        match &self.life {
            Some((_, socket)) => {
                dump_has(socket, &mut self.buffer, address).with_context(|| format!("read the addresses of {host}"))
            }
            None => Ok(false),
        }
    }
}

fn netlink() -> Result<OwnedFd> {
    // SAFETY: a plain system call; the descriptor it returns is ours alone.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).context("open a netlink socket");
    }
    // SAFETY: just created and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `nlmsghdr` and `ifaddrmsg` that ask for every IPv4 address.
fn request() -> [u8; 24] {
    let mut message = [0u8; 24];
    message[0..4].copy_from_slice(&24u32.to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_GETADDR.to_ne_bytes());
    // NLM_F_REQUEST | NLM_F_DUMP
    message[6..8].copy_from_slice(&0x301u16.to_ne_bytes());
    message[16] = 2; // AF_INET
    message
}

fn dump_has(socket: &OwnedFd, buffer: &mut [u8], address: Ipv4Addr) -> Result<bool> {
    rustix::io::write(socket, &request()).context("ask")?;
    let mut found = false;
    loop {
        // SAFETY: the buffer outlives the call and its length is passed.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(got) = usize::try_from(got) else {
            return Err(std::io::Error::last_os_error()).context("listen");
        };
        let part = scan(&buffer[..got], address)?;
        found |= part.found;
        if part.done {
            return Ok(found);
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Part {
    found: bool,
    done: bool,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    match bytes.get(at..at + N).and_then(|part| part.try_into().ok()) {
        Some(part) => Ok(part),
        None => bail!("short netlink message"),
    }
}

/// Reads the messages of one datagram.
fn scan(mut bytes: &[u8], address: Ipv4Addr) -> Result<Part> {
    let mut part = Part::default();
    while bytes.len() >= 16 {
        let length = u32::from_ne_bytes(number(bytes, 0)?) as usize;
        if length < 16 || length > bytes.len() {
            bail!("netlink message of {length} bytes in a datagram of {}", bytes.len());
        }
        match u16::from_ne_bytes(number(bytes, 4)?) {
            NLMSG_DONE => part.done = true,
            NLMSG_ERROR => bail!("the kernel refused: errno {}", -i32::from_ne_bytes(number(bytes, 16)?)),
            RTM_NEWADDR => part.found |= carries(&bytes[16..length], address)?,
            _ => {}
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(part)
}

/// True when an `ifaddrmsg` with its attributes is about this address, outside `lo`.
fn carries(message: &[u8], address: Ipv4Addr) -> Result<bool> {
    let [scope] = number(message, 3)?;
    let index = u32::from_ne_bytes(number(message, 4)?);
    if scope == RT_SCOPE_HOST || index == 1 {
        return Ok(false);
    }
    let mut rest = &message[8..];
    while rest.len() >= 4 {
        let length = u16::from_ne_bytes(number(rest, 0)?) as usize;
        if length < 4 || length > rest.len() {
            bail!("netlink attribute of {length} bytes");
        }
        if u16::from_ne_bytes(number(rest, 2)?) == IFA_LOCAL && rest[4..length] == address.octets() {
            return Ok(true);
        }
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    Ok(false)
}

/// The hosts that hold an address just now.
pub fn of(address: Ipv4Addr) -> Result<Vec<Host>> {
    let mut holders = Vec::new();
    for host in Host::all() {
        if Watcher::new(host).has(address)? {
            holders.push(host);
        }
    }
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(index: u32, scope: u8, address: [u8; 4]) -> Vec<u8> {
        let mut message = vec![0u8; 24];
        message[0..4].copy_from_slice(&32u32.to_ne_bytes());
        message[4..6].copy_from_slice(&RTM_NEWADDR.to_ne_bytes());
        message[19] = scope;
        message[20..24].copy_from_slice(&index.to_ne_bytes());
        message.extend_from_slice(&8u16.to_ne_bytes());
        message.extend_from_slice(&IFA_LOCAL.to_ne_bytes());
        message.extend_from_slice(&address);
        message
    }

    #[test]
    fn an_address_on_eth0_is_held_and_one_on_lo_is_not() {
        let vip = Ipv4Addr::new(10, 0, 0, 100);
        assert_eq!(scan(&answer(2, 0, vip.octets()), vip).unwrap(), Part { found: true, done: false });
        assert_eq!(scan(&answer(1, 254, vip.octets()), vip).unwrap(), Part::default());
        assert_eq!(scan(&answer(2, 0, [10, 0, 0, 11]), vip).unwrap(), Part::default());
    }

    #[test]
    fn a_message_that_lies_about_its_length_is_refused() {
        let mut message = answer(2, 0, [10, 0, 0, 100]);
        message[0] = 200;
        assert!(scan(&message, Ipv4Addr::LOCALHOST).is_err());
    }

    #[test]
    fn this_kernel_answers_a_dump() {
        let socket = netlink().unwrap();
        assert!(!dump_has(&socket, &mut vec![0; 65536], Ipv4Addr::new(192, 0, 2, 77)).unwrap());
    }
}
