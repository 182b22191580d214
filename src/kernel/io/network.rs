//! Reads the interfaces and addresses of this machine (of this network namespace), which the node gossips.

use super::address::{AddressError, Addresses, InstalledAddress, LOOPBACK, MARK};
use crate::model::NodeNetwork;
use rtnetlink::{
    packet_core::NLM_F_DUMP,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, Prop},
    },
};
use std::{collections::BTreeSet, net::IpAddr};

/// The file that names all interfaces. Netlink's list may contain a kind of interface that our decoder does not know.
pub(super) const INTERFACES: &str = "/proc/self/net/dev";

impl Addresses {
    /// The present interfaces and addresses.
    pub async fn network(&self) -> Result<NodeNetwork, AddressError> {
        let text = std::fs::read_to_string(INTERFACES).map_err(AddressError::Interfaces)?;
        let mut interfaces = names(&text);
        interfaces.extend(self.alternative_names().await?);
        let own = self.list().await?.into_iter().filter(is_own).map(|found| found.address);
        Ok(NodeNetwork { interfaces, addresses: own.collect(), ..NodeNetwork::default() })
    }

    /// Whether an interface has a carrier, which one that is down has not; `None`: there is none of that name.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn has_carrier(&self, interface: &str) -> Result<Option<bool>, AddressError> {
        let mut all = LinkMessage::default();
        all.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let messages = self.request(RouteNetlinkMessage::GetLink(all), NLM_F_DUMP).await.map_err(AddressError::Interfaces)?;
        let is_named = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::IfName(name) if name == interface);
        let link = messages.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) if link.attributes.iter().any(is_named) => Some(link),
            _ => None,
        });
        Ok(link.map(|link| link.header.flags.contains(LinkFlags::LowerUp)))
    }

    /// Alternative names (`ip link property`), which the kernel accepts like names.
    async fn alternative_names(&self) -> Result<BTreeSet<String>, AddressError> {
        let mut all = LinkMessage::default();
        all.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let messages = self.request(RouteNetlinkMessage::GetLink(all), NLM_F_DUMP).await.map_err(AddressError::Interfaces)?;
        let links = messages.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link.attributes),
            _ => None,
        });
        let properties = links.flatten().filter_map(|attribute| match attribute {
            LinkAttribute::PropList(properties) => Some(properties),
            _ => None,
        });
        let names = properties.flatten().filter_map(|property| match property {
            Prop::AltIfName(name) => Some(name),
            _ => None,
        });
        Ok(names.collect())
    }
}

/// Reads the file: two header lines, then for each interface its name, a colon and numbers.
pub(super) fn names(text: &str) -> BTreeSet<String> {
    text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim_start().to_owned())).collect()
}

/// Whether an address is the machine's own and of use beyond one link. A VIP that the agent has put on a director has the agent's mark or, where the
/// kernel does not support marks, is a host address with a lifetime.
fn is_own(found: &InstalledAddress) -> bool {
    let host_prefix = if found.address.is_ipv4() { 32 } else { 128 };
    let leased = found.prefix == host_prefix && found.valid_lft.is_some();
    found.interface != LOOPBACK && found.proto != Some(MARK) && !leased && is_global(found.address)
}

fn is_global(address: IpAddr) -> bool {
    let of_one_link = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !of_one_link && !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_from_the_kernels_table() {
        let text = "Inter-|   Receive\n face |bytes\n    lo:  100 0\n  eth0: 1 2\naVeryLongName15:3 4\n";
        assert_eq!(names(text), ["aVeryLongName15", "eth0", "lo"].map(str::to_owned).into());
    }

    #[test]
    fn vips_and_what_is_nobodys_else_are_not_a_nodes_own() {
        let found = |interface: &str, address: &str, prefix, proto, valid_lft| InstalledAddress {
            interface: interface.to_owned(),
            index: 2,
            address: address.parse().unwrap(),
            prefix,
            proto,
            valid_lft,
        };
        for (address, own) in [
            (found("eth0", "10.0.0.11", 24, None, None), true),
            (found("eth0", "10.0.0.11", 24, Some(3), Some(3600)), true),
            (found("eth0", "10.0.0.100", 32, Some(MARK), Some(1)), false),
            (found("eth0", "10.0.0.100", 32, None, Some(1)), false),
            (found("eth0", "10.0.0.100", 32, None, None), true),
            (found("lo", "10.0.0.100", 32, None, None), false),
            (found("eth0", "169.254.1.1", 16, None, None), false),
            (found("eth0", "fe80::1", 64, None, None), false),
            (found("eth0", "2001:db8::1", 64, None, None), true),
        ] {
            assert_eq!(is_own(&address), own, "{address:?}");
        }
    }

    #[tokio::test]
    async fn this_machine_has_loopback_and_does_not_tell_its_address() {
        let network = Addresses::open().unwrap().network().await.unwrap();
        assert!(network.interfaces.contains(LOOPBACK) && !network.more, "{network:?}");
        assert!(!network.addresses.contains(&IpAddr::from([127, 0, 0, 1])));
    }
}
