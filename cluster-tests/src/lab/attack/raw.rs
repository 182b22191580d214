//! Sending UDP in anybody's name: packets whose IP header is made here.

use super::packet::Datagram;
use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

/// A raw socket of the host on which the caller stands.
pub struct Sender {
    socket: OwnedFd,
    /// Of the next datagram; not 0, for which the kernel would choose one for each fragment.
    id: u16,
}

impl Sender {
    /// Needs CAP_NET_RAW.
    pub fn open() -> Result<Self> {
        // IPPROTO_RAW: the header is in what is sent (raw(7)).
        let protocol = NonZeroU32::new(libc::IPPROTO_RAW.unsigned_abs());
        let protocol = protocol.map(rustix::net::Protocol::from_raw);
        let socket =
            socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, protocol).context("open a raw socket")?;
        Ok(Self { socket, id: 1 })
    }

    /// Sends one datagram, in fragments where it is long.
    pub fn send(&mut self, datagram: &Datagram) -> Result<()> {
        let to = SocketAddr::new(IpAddr::V4(*datagram.to.ip()), 0);
        for packet in datagram.packets(self.id) {
            sendto(&self.socket, &packet, SendFlags::empty(), &to).with_context(|| format!("send to {to}"))?;
        }
        self.id = self.id.checked_add(1).unwrap_or(1);
        Ok(())
    }
}
