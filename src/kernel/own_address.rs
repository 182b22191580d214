//! Which of a machine's IPv4 addresses its agent shall have, from its addresses and default routes.

use serde::Serialize;
use std::{collections::BTreeSet, net::Ipv4Addr};

/// What an address of this machine is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressUse {
    /// Other machines reach this one at it.
    Own,
    /// The same, over a link that joins two machines only.
    PointToPoint,
    /// A host address with a lifetime: from DHCP at some providers, but a VIP looks alike where the kernel keeps no marks (before Linux 5.18).
    HostWithLifetime,
    /// A VIP that the agent has put there.
    Vip,
    /// On `lo`: loopback itself, or a VIP of a real server.
    Loopback,
    /// Only good on one link, or in this machine.
    OneLink,
}

/// An IPv4 address of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostAddress {
    /// Its interface.
    pub interface: String,
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its prefix in bits.
    pub prefix: u8,
    /// Another address of the same subnet is the interface's first.
    pub secondary: bool,
    /// What it is good for.
    pub good_for: AddressUse,
}

impl HostAddress {
    fn is_candidate(&self) -> bool {
        self.good_for == AddressUse::Own && !self.secondary
    }

    fn subnet_has(&self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
        u32::from(self.address) & mask == u32::from(other) & mask
    }
}

/// One way out by an IPv4 default route of the main table. A route with several next hops has one for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultRoute {
    /// Less is better.
    pub metric: u32,
    /// The interface.
    pub interface: String,
    /// The next hop's address, if it has one.
    pub gateway: Option<Ipv4Addr>,
    /// The address that the route says this machine shall have as a source (`src` of ip-route(8)).
    pub source: Option<Ipv4Addr>,
}

/// What the kernel says of this machine's place in the network.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostNetwork {
    /// All interfaces.
    pub interfaces: BTreeSet<String>,
    /// All IPv4 addresses, in the kernel's order.
    pub addresses: Vec<HostAddress>,
    /// All IPv4 default routes.
    pub default_routes: Vec<DefaultRoute>,
}

/// What somebody has asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WantedAddress {
    /// This address.
    pub address: Option<Ipv4Addr>,
    /// One of this interface.
    pub interface: Option<String>,
    /// The interface is that of the VIPs, too, and then `address` may be on another.
    pub interface_of_vips: bool,
}

/// Where an address was taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TakenFrom {
    /// It was given.
    Given,
    /// The interface was given.
    Interface,
    /// The default route.
    DefaultRoute,
    /// There is no default route, and no other address.
    OnlyAddress,
}

/// The address that was chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChosenAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// The interface that has it; `None`: none has it now.
    pub interface: Option<String>,
    /// Where it was taken from.
    pub taken_from: TakenFrom,
    /// What is legal and may not be meant.
    pub warnings: Vec<String>,
}

/// Why no address was chosen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct NoAddress {
    /// The reason.
    pub why: String,
    /// Addresses that may be given instead.
    pub candidates: Vec<HostAddress>,
}

/// Chooses this machine's address as it was asked for; where nothing was, by the default route of the lowest metric, or because it is the only one.
///
/// # Errors
/// With the reason and the addresses that could be given.
pub fn choose(network: &HostNetwork, wanted: &WantedAddress) -> Result<ChosenAddress, NoAddress> {
    match (wanted.address, &wanted.interface) {
        (Some(address), interface) => given(network, address, interface.as_deref(), wanted.interface_of_vips),
        (None, Some(interface)) => of_interface(network, interface),
        (None, None) if network.default_routes.is_empty() => only_address(network),
        (None, None) => of_default_route(network),
    }
}

fn given(
    network: &HostNetwork,
    address: Ipv4Addr,
    interface: Option<&str>,
    interface_of_vips: bool,
) -> Result<ChosenAddress, NoAddress> {
    let refuse = |why: String| Err(network.none(why));
    if address.is_loopback() || address.is_link_local() {
        return refuse(format!("{address} does not reach other machines: the cluster needs an address that its nodes reach"));
    }
    let found = network.addresses.iter().find(|found| found.address == address);
    let mut warnings = Vec::new();
    match found.map(|found| (found, found.good_for)) {
        None => warnings.push(format!("{address} is on no interface of this machine now: the agent waits until it is")),
        Some((found, AddressUse::Vip)) => {
            return refuse(format!("{address} on {} is a VIP, which moves: use the machine's own address", found.interface));
        }
        Some((_, AddressUse::Loopback)) => {
            return refuse(format!("{address} is on lo, where real servers have VIPs: use the address of a network interface"));
        }
        Some((found, AddressUse::PointToPoint)) => warnings.push(format!(
            "{} joins two machines only: no VIP moves over it, and directors reach no real server over it",
            found.interface
        )),
        Some((found, AddressUse::HostWithLifetime)) => warnings.push(format!(
            "{address}/32 on {} has a lifetime: if it is a VIP and not from DHCP, use the machine's own address",
            found.interface
        )),
        Some((_, AddressUse::Own | AddressUse::OneLink)) => {}
    }
    if let (Some(asked), Some(found)) = (interface, found)
        && !interface_of_vips
        && found.interface != asked
    {
        return refuse(format!("{address} is on {}, not on {asked}: leave --interface off", found.interface));
    }
    if let Some(missing) = interface.filter(|asked| !network.interfaces.contains(*asked)) {
        warnings.push(format!("there is no interface {missing} on this machine now"));
    }
    let interface = found.map(|found| found.interface.clone());
    Ok(ChosenAddress { address, interface, taken_from: TakenFrom::Given, warnings })
}

fn of_interface(network: &HostNetwork, interface: &str) -> Result<ChosenAddress, NoAddress> {
    if !network.interfaces.contains(interface) {
        let others: Vec<&str> = network.interfaces.iter().map(String::as_str).filter(|name| *name != "lo").collect();
        let others = if others.is_empty() { "none but lo".to_owned() } else { others.join(", ") };
        return Err(network.none(format!("there is no interface {interface} on this machine; it has {others}")));
    }
    match network.first_of(interface, None) {
        Some(found) => Ok(found.chosen(TakenFrom::Interface)),
        None => Err(network.none(format!("{interface} has no IPv4 address of its own that other machines reach"))),
    }
}

fn of_default_route(network: &HostNetwork) -> Result<ChosenAddress, NoAddress> {
    let routes = &network.default_routes;
    let best = routes.iter().map(|route| route.metric).min().unwrap_or_default();
    let best: Vec<&DefaultRoute> = routes.iter().filter(|route| route.metric == best).collect();
    let interfaces: BTreeSet<&str> = best.iter().map(|route| route.interface.as_str()).collect();
    if interfaces.len() > 1 {
        let interfaces: Vec<&str> = interfaces.into_iter().collect();
        return Err(network.none(format!("the default route has several ways: over {}", interfaces.join(" and "))));
    }
    let Some(route) = best.first() else { return only_address(network) };
    let found = match route.source {
        Some(source) => network.addresses.iter().find(|found| found.address == source && found.good_for == AddressUse::Own),
        None => network.first_of(&route.interface, route.gateway),
    };
    match found {
        Some(found) => Ok(found.chosen(TakenFrom::DefaultRoute)),
        None => Err(network.none(format!(
            "the default route is on {}, which has no IPv4 address of its own that could be taken",
            route.interface
        ))),
    }
}

fn only_address(network: &HostNetwork) -> Result<ChosenAddress, NoAddress> {
    match network.candidates().as_slice() {
        [] => Err(network.none("this machine has no IPv4 address that other machines reach".to_owned())),
        [only] => Ok(only.chosen(TakenFrom::OnlyAddress)),
        _ => Err(network.none("this machine has no default route, but several addresses".to_owned())),
    }
}

impl HostNetwork {
    fn candidates(&self) -> Vec<&HostAddress> {
        self.addresses.iter().filter(|found| found.is_candidate()).collect()
    }

    fn none(&self, why: String) -> NoAddress {
        NoAddress { why, candidates: self.candidates().into_iter().cloned().collect() }
    }

    /// The address from whose subnet the gateway is, as the kernel chooses a source; else the first of a whole subnet, since host addresses are mostly
    /// VIPs of other programs; else the first.
    fn first_of(&self, interface: &str, gateway: Option<Ipv4Addr>) -> Option<&HostAddress> {
        let here = || self.candidates().into_iter().filter(|found| found.interface == interface);
        let beside = |found: &&HostAddress| gateway.is_some_and(|gateway| found.prefix < 32 && found.subnet_has(gateway));
        here().find(beside).or_else(|| here().find(|found| found.prefix < 32)).or_else(|| here().next())
    }
}

impl HostAddress {
    fn chosen(&self, taken_from: TakenFrom) -> ChosenAddress {
        ChosenAddress { address: self.address, interface: Some(self.interface.clone()), taken_from, warnings: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
