//! UDP sockets whose datagrams are never cut into fragments.

use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

/// A socket at `listen` that does not block. What it sends has the don't-fragment bit, and is refused with `EMSGSIZE` where the interface is too
/// narrow for it. ICMP "fragmentation needed" of routers on the path, which anybody can forge, is ignored: agents' datagrams fit the
/// narrowest link by themselves, see [`MAX_DATAGRAM_BYTES`](crate::link::datagram::MAX_DATAGRAM_BYTES).
///
/// # Errors
/// The address cannot be had.
pub fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(listen)?;
    socket.set_nonblocking(true)?;
    if listen.is_ipv4() {
        set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
    } else {
        set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::sockopt::{ip_mtu_discover, ipv6_mtu_discover};

    #[test]
    fn what_both_families_sockets_send_is_never_cut() {
        let four = bind(([127, 0, 0, 1], 0).into()).unwrap();
        assert_eq!(ip_mtu_discover(&four).unwrap(), Ipv4PathMtuDiscovery::PROBE);
        // A machine may have no IPv6.
        if let Ok(six) = bind("[::1]:0".parse().unwrap()) {
            assert_eq!(ipv6_mtu_discover(&six).unwrap(), Ipv6PathMtuDiscovery::PROBE);
        }
    }
}
