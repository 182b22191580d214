//! What rtnetlink says of interfaces and addresses, as bytes (`include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`). Pure.
//!
//! Read by hand, and only what is needed: a decoder of everything refuses whole messages for a kind of interface that it does not know.

use super::{Change, LinkState};
use crate::kernel::{
    DataPlaneError,
    io::ipvs::frame::{Frame, attributes_of, text_of, u32_at},
};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use std::{collections::BTreeSet, net::IpAddr};

pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;

/// Bytes of `struct ifinfomsg`, and of `struct ifaddrmsg`.
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;

const IFLA_IFNAME: u16 = 3;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// No statistics in the answers (`RTEXT_FILTER_SKIP_STATS`).
const SKIP_STATS: u32 = 1 << 3;

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;
const IFF_LOWER_UP: u32 = 0x1_0000;

/// A request for all interfaces ([`RTM_GETLINK`]) or all addresses ([`RTM_GETADDR`]).
pub(super) fn list(kind: u16) -> Vec<u8> {
    let mut payload = vec![0; if kind == RTM_GETLINK { LINK_HEADER_BYTES } else { ADDRESS_HEADER_BYTES }];
    if kind == RTM_GETLINK {
        payload.extend(8_u16.to_ne_bytes());
        payload.extend(IFLA_EXT_MASK.to_ne_bytes());
        payload.extend(SKIP_STATS.to_ne_bytes());
    }
    let length = u32::try_from(16 + payload.len()).expect("a request is under a hundred bytes");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and port: one request a socket
    bytes.extend(payload);
    bytes
}

/// What a message says; `None` where it is about something else.
pub(super) fn change(frame: &Frame<'_>) -> Result<Option<Change>, DataPlaneError> {
    match frame.kind {
        RTM_NEWLINK | RTM_DELLINK => link(frame.payload, frame.kind == RTM_DELLINK),
        RTM_NEWADDR | RTM_DELADDR => address(frame.payload, frame.kind == RTM_DELADDR),
        _ => Ok(None),
    }
}

const SHORT: DataPlaneError = DataPlaneError::Malformed("a message about an interface or address is too short");

fn link(payload: &[u8], gone: bool) -> Result<Option<Change>, DataPlaneError> {
    let (family, index, flags) =
        (payload.first().ok_or(SHORT)?, u32_at(payload, 4).ok_or(SHORT)?, u32_at(payload, 8).ok_or(SHORT)?);
    // A bridge tells of its ports by the same messages (family AF_BRIDGE): a port that leaves it is still there.
    if *family != 0 {
        return Ok(None);
    }
    if gone {
        return Ok(Some(Change::LinkGone { index }));
    }
    let (mut name, mut other_names) = (None, BTreeSet::new());
    for attribute in attributes_of(payload.get(LINK_HEADER_BYTES..).ok_or(SHORT)?) {
        match attribute? {
            (IFLA_IFNAME, text) => name = Some(text_of(text)),
            (IFLA_PROP_LIST, properties) => {
                for property in attributes_of(properties) {
                    if let (IFLA_ALT_IFNAME, text) = property? {
                        other_names.insert(text_of(text));
                    }
                }
            }
            _ => (),
        }
    }
    let name = name.ok_or(DataPlaneError::Malformed("an interface without a name"))?;
    Ok(Some(Change::Link { index, name, other_names, state: state(flags) }))
}

/// `IFF_RUNNING` is RFC 2863's operational state, where that is known: up, or not said.
fn state(flags: u32) -> LinkState {
    if flags & IFF_UP == 0 {
        LinkState::SetDown
    } else if flags & IFF_LOWER_UP == 0 {
        LinkState::NoCarrier
    } else if flags & IFF_RUNNING == 0 {
        LinkState::NotOperational
    } else {
        LinkState::Up
    }
}

fn address(payload: &[u8], gone: bool) -> Result<Option<Change>, DataPlaneError> {
    let (prefix, index) = (*payload.get(1).ok_or(SHORT)?, u32_at(payload, 4).ok_or(SHORT)?);
    let (mut local, mut other) = (None, None);
    for attribute in attributes_of(payload.get(ADDRESS_HEADER_BYTES..).ok_or(SHORT)?) {
        match attribute? {
            // On IPv4 `IFA_LOCAL` is the address and `IFA_ADDRESS` its peer; IPv6 mostly has `IFA_ADDRESS` alone.
            (IFA_LOCAL, bytes) => local = ip(bytes),
            (IFA_ADDRESS, bytes) => other = ip(bytes),
            _ => (),
        }
    }
    let address = local.or(other);
    Ok(address.map(|address| Change::Address { index, address, prefix, gone }))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: u16, payload: &[u8]) -> Result<Option<Change>, DataPlaneError> {
        change(&Frame { kind, flags: 0, sequence: 0, payload })
    }

    fn attributes(list: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, value) in list {
            bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn a_link(family: u8, flags: u32, list: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![family, 0, 0, 0];
        bytes.extend(7_u32.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(attributes(list));
        bytes
    }

    #[test]
    fn an_interface_is_up_only_with_all_three_flags_and_has_all_its_names() {
        let properties = attributes(&[(IFLA_ALT_IFNAME, b"uplink\0"), (IFLA_ALT_IFNAME, b"enp3s0f1\0")]);
        for (flags, state) in [
            (IFF_UP | IFF_RUNNING | IFF_LOWER_UP, LinkState::Up),
            (IFF_UP | IFF_LOWER_UP, LinkState::NotOperational),
            (IFF_UP, LinkState::NoCarrier),
            (IFF_LOWER_UP | IFF_RUNNING, LinkState::SetDown),
        ] {
            let bytes = a_link(0, flags, &[(IFLA_IFNAME, b"eth1\0"), (IFLA_PROP_LIST | 0x8000, &properties)]);
            let names = ["uplink", "enp3s0f1"].map(str::to_owned).into();
            let told = Change::Link { index: 7, name: "eth1".to_owned(), other_names: names, state };
            assert_eq!(read(RTM_NEWLINK, &bytes).unwrap(), Some(told));
        }
    }

    #[test]
    fn a_port_that_leaves_a_bridge_is_not_gone() {
        let name: &[(u16, &[u8])] = &[(IFLA_IFNAME, b"eth1\0")];
        assert_eq!(read(RTM_DELLINK, &a_link(7, IFF_UP, name)).unwrap(), None);
        assert_eq!(read(RTM_DELLINK, &a_link(0, IFF_UP, name)).unwrap(), Some(Change::LinkGone { index: 7 }));
    }

    #[test]
    fn an_address_is_the_local_one_and_the_only_one_where_there_is_one() {
        let header = |prefix| [&[2, prefix, 0, 0][..], &3_u32.to_ne_bytes()].concat();
        let both = [header(24), attributes(&[(IFA_ADDRESS, &[10, 0, 0, 1]), (IFA_LOCAL, &[10, 0, 0, 2])])].concat();
        let told =
            |address: &str, prefix, gone| Some(Change::Address { index: 3, address: address.parse().unwrap(), prefix, gone });
        assert_eq!(read(RTM_NEWADDR, &both).unwrap(), told("10.0.0.2", 24, false));
        let v6 = [header(64), attributes(&[(IFA_ADDRESS, &[0x20; 16])])].concat();
        assert_eq!(read(RTM_DELADDR, &v6).unwrap(), told("2020:2020:2020:2020:2020:2020:2020:2020", 64, true));
    }

    #[test]
    fn what_is_cut_is_an_error_and_what_is_about_something_else_is_nothing() {
        assert!(read(RTM_NEWLINK, &[0; 9]).is_err());
        assert!(read(RTM_NEWLINK, &a_link(0, IFF_UP, &[])).is_err());
        assert!(read(RTM_NEWADDR, &[2, 24, 0]).is_err());
        let cut = [&[2, 24, 0, 0, 3, 0, 0, 0][..], &[200, 0, 2, 0]].concat();
        assert!(read(RTM_NEWADDR, &cut).is_err());
        assert_eq!(read(24, &[1, 2, 3]).unwrap(), None);
    }
}
