//! Reads from the kernel what this machine's own address is chosen by: interfaces, IPv4 addresses, default routes.

use super::address::{AddressError, Addresses, InstalledAddress, LOOPBACK, MARK, any_socket, installed};
use crate::kernel::own_address::{AddressUse, DefaultRoute, HostAddress, HostNetwork};
use rtnetlink::{
    packet_core::NLM_F_DUMP,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags, RouteType},
    },
};
use std::{
    net::{IpAddr, Ipv4Addr},
    os::unix::net::UnixDatagram,
};

impl Addresses {
    /// What this machine's address is chosen by.
    pub async fn host_network(&self) -> Result<HostNetwork, AddressError> {
        let socket = any_socket().map_err(AddressError::List)?;
        let mut all = AddressMessage::default();
        all.header.family = AddressFamily::Inet;
        let addresses = self.request(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP).await.map_err(AddressError::List)?;
        let mut all = RouteMessage::default();
        all.header.address_family = AddressFamily::Inet;
        let routes = self.request(RouteNetlinkMessage::GetRoute(all), NLM_F_DUMP).await.map_err(AddressError::Routes)?;
        Ok(HostNetwork {
            interfaces: self.network().await?.interfaces,
            addresses: addresses.iter().filter_map(|message| host_address(&socket, message)).collect(),
            default_routes: routes.iter().flat_map(|message| ways_out(&socket, message)).collect(),
        })
    }
}

/// The name under which the kernel lists an interface that may have been called by an alternative name; `None`: there is no such interface.
pub fn listed_name(interface: &str) -> Option<String> {
    let socket = any_socket().ok()?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface).ok()?;
    rustix::net::netdevice::index_to_name(&socket, index).ok()
}

fn host_address(socket: &UnixDatagram, message: &RouteNetlinkMessage) -> Option<HostAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let found = installed(socket, message)?;
    let IpAddr::V4(address) = found.address else { return None };
    let peer = message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Address(peer) => *peer != found.address,
        _ => false,
    });
    Some(HostAddress {
        good_for: good_for(&found, address, message.header.scope, peer),
        interface: found.interface,
        address,
        prefix: found.prefix,
        secondary: message.header.flags.contains(AddressHeaderFlags::Secondary),
    })
}

fn good_for(found: &InstalledAddress, address: Ipv4Addr, scope: AddressScope, peer: bool) -> AddressUse {
    let far = matches!(scope, AddressScope::Universe | AddressScope::Site | AddressScope::Other(_));
    if found.proto == Some(MARK) {
        AddressUse::Vip
    } else if found.interface == LOOPBACK || address.is_loopback() {
        AddressUse::Loopback
    } else if address.is_link_local() || !far {
        AddressUse::OneLink
    } else if found.prefix == 32 && found.valid_lft.is_some() {
        AddressUse::HostWithLifetime
    } else if peer {
        AddressUse::PointToPoint
    } else {
        AddressUse::Own
    }
}

/// The ways out of a default route of the main table; none of another route. Next hops that are dead lead nowhere.
fn ways_out(socket: &UnixDatagram, message: &RouteNetlinkMessage) -> Vec<DefaultRoute> {
    let RouteNetlinkMessage::NewRoute(RouteMessage { header, attributes, .. }) = message else { return Vec::new() };
    let table = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let main = table.unwrap_or(header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !main || header.destination_prefix_length != 0 || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let mut metric = 0;
    let mut source = None;
    let mut hops = Vec::new();
    let mut single = (None, None);
    for attribute in attributes {
        match attribute {
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => source = Some(*address),
            RouteAttribute::Oif(index) => single.0 = Some(*index),
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => single.1 = Some(*address),
            RouteAttribute::MultiPath(list) => {
                let alive = list.iter().filter(|hop| !hop.flags.contains(RouteNextHopFlags::Dead));
                hops.extend(alive.map(|hop| (hop.interface_index, gateway(&hop.attributes))));
            }
            _ => {}
        }
    }
    if let (Some(index), gateway) = single
        && !header.flags.contains(RouteFlags::Dead)
    {
        hops.push((index, gateway));
    }
    let named = hops.into_iter().filter_map(|(index, gateway)| {
        let interface = rustix::net::netdevice::index_to_name(socket, index).ok()?;
        Some(DefaultRoute { metric, interface, gateway, source })
    });
    named.collect()
}

fn gateway(attributes: &[RouteAttribute]) -> Option<Ipv4Addr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machines_addresses_are_judged() {
        let network = Addresses::open().unwrap().host_network().await.unwrap();
        let loopback = network.addresses.iter().find(|found| found.address == Ipv4Addr::LOCALHOST);
        assert_eq!(loopback.map(|found| (found.good_for, found.prefix)), Some((AddressUse::Loopback, 8)), "{network:?}");
        assert!(network.interfaces.contains(LOOPBACK));
        assert_eq!((listed_name(LOOPBACK).as_deref(), listed_name("no-such-if")), (Some(LOOPBACK), None));
    }

    #[test]
    fn vips_and_addresses_of_one_link_are_told_from_a_machines_own() {
        let judged = |interface: &str, address: &str, prefix, proto, valid_lft, scope, peer| {
            let address: Ipv4Addr = address.parse().unwrap();
            let found =
                InstalledAddress { interface: interface.to_owned(), index: 2, address: address.into(), prefix, proto, valid_lft };
            good_for(&found, address, scope, peer)
        };
        let far = AddressScope::Universe;
        assert_eq!(judged("eth0", "10.0.0.11", 24, None, None, far, false), AddressUse::Own);
        assert_eq!(judged("eth0", "10.0.0.11", 24, None, Some(3600), far, false), AddressUse::Own);
        assert_eq!(judged("eth0", "10.0.0.100", 32, Some(MARK), Some(1), far, false), AddressUse::Vip);
        assert_eq!(judged("lo", "10.0.0.100", 32, Some(MARK), None, far, false), AddressUse::Vip);
        assert_eq!(judged("lo", "10.0.0.100", 32, None, None, far, false), AddressUse::Loopback);
        assert_eq!(judged("eth0", "10.0.0.100", 32, None, Some(1), far, false), AddressUse::HostWithLifetime);
        assert_eq!(judged("tun0", "10.8.0.1", 32, None, None, far, true), AddressUse::PointToPoint);
        assert_eq!(judged("eth0", "169.254.1.1", 16, None, None, AddressScope::Link, false), AddressUse::OneLink);
        assert_eq!(judged("eth0", "10.0.0.11", 24, None, None, AddressScope::Link, false), AddressUse::OneLink);
    }
}
