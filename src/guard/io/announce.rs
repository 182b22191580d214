//! Sends ARP announcements from an interface's own address.

use crate::{
    guard::arp::{Mac, announcements},
    kernel::io::address::interface_index,
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{io, mem, net::Ipv4Addr};

/// Tells the neighbours on `interface` that `vips` are here. Does not block.
///
/// The socket is opened each time: the interface may have got another address, and a guard that announces nothing keeps no raw socket.
pub fn announce(interface: &str, vips: impl Iterator<Item = Ipv4Addr>) -> io::Result<()> {
    let index = interface_index(interface).map_err(io::Error::other)?;
    // Protocol 0: this socket is never given a frame.
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    socket.bind(&link_address(index, 0)?)?;
    let mac = hardware_address(&socket)?;
    let arp = link_address(index, u16::try_from(libc::ETH_P_ARP).expect("an EtherType has 16 bits"))?;
    for vip in vips {
        for frame in announcements(mac, vip) {
            socket.send_to(&frame, &arp)?;
        }
    }
    Ok(())
}

/// packet(7)'s address of an interface.
pub(super) fn link_address(index: u32, protocol: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(index).map_err(io::Error::other)?;
    // SAFETY: `sockaddr_ll` is plain numbers, so all zeros is a value of it; it is smaller than the storage and ends where `length` says.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let mut link: libc::sockaddr_ll = mem::zeroed();
            link.sll_family = u16::try_from(libc::AF_PACKET).expect("an address family has 16 bits");
            link.sll_protocol = protocol.to_be();
            link.sll_ifindex = index;
            storage.cast::<libc::sockaddr_ll>().write(link);
            *length = u32::try_from(size_of::<libc::sockaddr_ll>()).expect("it has 20 bytes");
            Ok(())
        })?
    };
    Ok(address)
}

/// A bound packet socket's own address holds the interface's hardware address (packet(7)).
pub(super) fn hardware_address(socket: &Socket) -> io::Result<Mac> {
    let address = socket.local_addr()?;
    if i32::from(address.family()) != libc::AF_PACKET {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the family says that it is a `sockaddr_ll`, and the storage behind the pointer is larger and aligned for any address.
    let link = unsafe { address.as_ptr().cast::<libc::sockaddr_ll>().read() };
    match link.sll_halen {
        6 => Ok(*link.sll_addr.first_chunk().expect("sll_addr has 8 bytes")),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "the interface has no Ethernet address")),
    }
}
