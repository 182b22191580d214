//! Packet sockets for ARP (packet(7)).

use crate::{guard::arp::Mac, kernel::io::address::interface_index};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{io, mem};

/// The EtherType of ARP.
pub(super) const ETH_P_ARP: u16 = 0x0806;

/// A socket that hears and sends ARP on `interface`, where its frames go, and the interface's own address.
pub(super) fn arp_socket(interface: &str) -> io::Result<(Socket, SockAddr, Mac)> {
    let index = interface_index(interface).map_err(io::Error::other)?;
    // What it hears is settled when it is bound: no frame of another interface comes in before.
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
    let arp = link_address(index, ETH_P_ARP)?;
    socket.bind(&arp)?;
    let mac = hardware_address(&socket)?;
    Ok((socket, arp, mac))
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
