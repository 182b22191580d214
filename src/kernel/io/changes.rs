//! Hears of every change of interfaces and addresses in this network namespace (rtnetlink(7), multicast groups), and lists them all.

use super::ipvs::frame::frames;
use crate::kernel::DataPlaneError;
use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use std::{collections::BTreeSet, io, net::IpAddr};
use tokio::io::{Interest, unix::AsyncFd};

mod wire;

/// The multicast groups: `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// The kernel sends up to 32 KiB at once.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// An address or interface takes about 1 KiB of it. What does not fit is listed anew.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// So many are taken in one go: a machine that starts a thousand containers must not keep the reader from its other work.
const AT_ONCE: usize = 64;
/// A machine with more has other troubles: 32 KiB each, so about a hundred thousand interfaces or addresses.
const MOST_LISTED: usize = 4096;
/// A list that changes while it is read is read again so often.
const LIST_TRIES: usize = 5;

/// Whether an interface can carry traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// It can.
    Up,
    /// Somebody has set it down.
    SetDown,
    /// No cable, or nobody at its other end.
    NoCarrier,
    /// It has a carrier and is not in operation, for example not yet authorised (RFC 2863).
    NotOperational,
}

/// One thing that the kernel says of interfaces and addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// An interface is there, or is another than before.
    Link {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
        /// Alternative names (`ip link property`), which the kernel accepts like names.
        other_names: BTreeSet<String>,
        /// Whether it can carry traffic.
        state: LinkState,
    },
    /// An interface is not there any more.
    LinkGone {
        /// Its index.
        index: u32,
    },
    /// An address has come, is another than before, or has gone.
    Address {
        /// The interface's index.
        index: u32,
        /// Which.
        address: IpAddr,
        /// Length of its prefix in bits.
        prefix: u8,
        /// It has gone.
        gone: bool,
    },
}

/// What was taken from the socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// All that there was.
    All(Vec<Change>),
    /// A part; [`Changes::readable`] is ready at once.
    Part(Vec<Change>),
    /// Something was lost or not understood: list anew.
    Lost,
}

/// The socket that hears of changes.
#[derive(Debug)]
pub struct Changes {
    socket: AsyncFd<Socket>,
    buffer: Vec<u8>,
    /// The last taking left something.
    rest: bool,
}

impl Changes {
    /// Opens it on the current runtime, in the network namespace of the calling thread.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        // Beyond rmem_max only with CAP_NET_ADMIN; without, what does not fit is listed anew.
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).ok();
        // SAFETY: a `Socket` keeps its descriptor open, and the same, for as long as it lives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, buffer: Vec::with_capacity(DATAGRAM_BYTES), rest: false })
    }

    /// Waits until there is something to take. Cancel-safe. Whoever was woken takes, since it is not ready again before more comes.
    pub async fn readable(&self) -> io::Result<()> {
        if !self.rest {
            // Before the taking: what comes after the last look makes it ready anew.
            self.socket.readable().await?.clear_ready();
        }
        Ok(())
    }

    /// Whether the last taking left something.
    pub fn has_rest(&self) -> bool {
        self.rest
    }

    /// Takes what there is, without waiting.
    ///
    /// The kernel tells of a change before it acknowledges the request that made it, so the reader's own changes are among it.
    pub fn take(&mut self) -> Taken {
        self.rest = false;
        let mut changes = Vec::new();
        for _ in 0..AT_ONCE {
            match receive(self.socket.get_ref(), &mut self.buffer) {
                Ok(()) => match read(&self.buffer, &mut changes) {
                    Ok(_) => (),
                    Err(_) => return Taken::Lost,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Taken::All(changes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                // ENOBUFS, mostly.
                Err(_) => return Taken::Lost,
            }
        }
        self.rest = true;
        Taken::Part(changes)
    }

    /// Every interface and every address, interfaces first. Changes that come meanwhile are taken afterwards.
    ///
    /// # Errors
    /// The kernel's.
    pub fn list(&mut self) -> Result<Vec<Change>, DataPlaneError> {
        for _ in 0..LIST_TRIES {
            if let Some(changes) = list_once(&mut self.buffer)? {
                return Ok(changes);
            }
        }
        Err(DataPlaneError::Malformed("interfaces and addresses change faster than they can be listed"))
    }
}

/// `None`: it has changed meanwhile.
fn list_once(buffer: &mut Vec<u8>) -> Result<Option<Vec<Change>>, DataPlaneError> {
    let failed = |source| DataPlaneError::Netlink { doing: "list interfaces and addresses", source };
    let mut changes = Vec::new();
    for kind in [wire::RTM_GETLINK, wire::RTM_GETADDR] {
        // A socket for each list, so that no answer is another's. The kernel writes each part of it while that is read, so that nothing waits.
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.send_to(&wire::list(kind), &SocketAddr::new(0, 0), 0).map_err(failed)?;
        let mut ended = None;
        for _ in 0..MOST_LISTED {
            receive(&socket, buffer).map_err(failed)?;
            ended = read(buffer, &mut changes)?;
            if ended.is_some() {
                break;
            }
        }
        match ended {
            Some(End::Whole) => (),
            Some(End::Interrupted) => return Ok(None),
            None => return Err(DataPlaneError::Malformed("the list of interfaces or addresses does not end")),
        }
    }
    Ok(Some(changes))
}

/// How a list ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Whole,
    /// It changed while it was read (`NLM_F_DUMP_INTR`).
    Interrupted,
}

fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let length = socket.recv(buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC)?;
    if length > buffer.len() { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
}

/// Reads the messages of one datagram.
fn read(datagram: &[u8], into: &mut Vec<Change>) -> Result<Option<End>, DataPlaneError> {
    let mut interrupted = false;
    for frame in frames(datagram) {
        let frame = frame?;
        interrupted |= frame.flags & NLM_F_DUMP_INTR != 0;
        if frame.kind == NLMSG_DONE {
            return Ok(Some(if interrupted { End::Interrupted } else { End::Whole }));
        }
        if let Some(Err(refused)) = frame.acknowledgement().transpose()? {
            let source = io::Error::from_raw_os_error(refused.errno);
            return Err(DataPlaneError::Netlink { doing: "list interfaces and addresses", source });
        }
        into.extend(wire::change(&frame)?);
    }
    // A part that was interrupted spoils the whole.
    Ok(interrupted.then_some(End::Interrupted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn loopback_and_its_address_are_listed_interfaces_first() {
        let listed = Changes::open().unwrap().list().unwrap();
        let lo = |change: &Change| matches!(change, Change::Link { index: 1, name, .. } if name == "lo");
        let home = Change::Address { index: 1, address: Ipv4Addr::LOCALHOST.into(), prefix: 8, gone: false };
        let (link, address) = (listed.iter().position(lo).unwrap(), listed.iter().position(|change| *change == home).unwrap());
        assert!(link < address, "{listed:?}");
    }

    #[tokio::test]
    async fn nobody_is_woken_without_something_to_take() {
        let mut changes = Changes::open().unwrap();
        assert!(matches!(changes.take(), Taken::All(_)));
        // Something else on this machine may change an interface just now.
        while tokio::time::timeout(std::time::Duration::from_millis(20), changes.readable()).await.is_ok() {
            assert!(matches!(changes.take(), Taken::All(_) | Taken::Part(_)));
        }
    }
}
