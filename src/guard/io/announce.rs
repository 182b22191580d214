//! Sends ARP announcements from an interface's own address.

use super::packet::{ETH_P_ARP, hardware_address, link_address};
use crate::{guard::arp::announcements, kernel::io::address::interface_index};
use socket2::{Domain, Socket, Type};
use std::{io, net::Ipv4Addr};

/// Tells the neighbours on `interface` that `vips` are here. Does not block.
///
/// The socket is opened each time: the interface may have got another address, and a guard that announces nothing keeps no raw socket.
pub fn announce(interface: &str, vips: impl Iterator<Item = Ipv4Addr>) -> io::Result<()> {
    let index = interface_index(interface).map_err(io::Error::other)?;
    // Protocol 0: this socket is never given a frame.
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    socket.bind(&link_address(index, 0)?)?;
    let mac = hardware_address(&socket)?;
    let arp = link_address(index, ETH_P_ARP)?;
    for vip in vips {
        for frame in announcements(mac, vip) {
            socket.send_to(&frame, &arp)?;
        }
    }
    Ok(())
}
