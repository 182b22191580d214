//! Which address is chosen on which machine.

use super::*;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// An address as `ip address` shows it: `eth0 10.0.0.11/24`.
fn has(text: &str, good_for: AddressUse) -> HostAddress {
    let (interface, address) = text.split_once(' ').unwrap();
    let (address, prefix) = address.split_once('/').unwrap();
    HostAddress {
        interface: interface.to_owned(),
        address: ip(address),
        prefix: prefix.parse().unwrap(),
        secondary: false,
        good_for,
    }
}

fn own(text: &str) -> HostAddress {
    has(text, AddressUse::Own)
}

/// A default route: `eth0 100`, with the gateway if there is one.
fn route(interface: &str, metric: u32, gateway: Option<&str>) -> DefaultRoute {
    DefaultRoute { metric, interface: interface.to_owned(), gateway: gateway.map(ip), source: None }
}

fn machine(addresses: Vec<HostAddress>, default_routes: Vec<DefaultRoute>) -> HostNetwork {
    let interfaces = ["lo", "eth0", "eth1"].map(str::to_owned).into();
    HostNetwork { interfaces, addresses, default_routes }
}

fn wanted(address: Option<&str>, interface: Option<&str>) -> WantedAddress {
    WantedAddress { address: address.map(ip), interface: interface.map(str::to_owned), interface_of_vips: false }
}

/// Address, interface and origin of what is chosen, and how many warnings.
fn chosen(network: &HostNetwork, wanted: &WantedAddress) -> Result<String, String> {
    choose(network, wanted)
        .map(|chosen| {
            let interface = chosen.interface.unwrap_or_else(|| "none".to_owned());
            let from = serde_json::to_value(chosen.taken_from).unwrap();
            format!("{} {interface} {} {}", chosen.address, from.as_str().unwrap(), chosen.warnings.len())
        })
        .map_err(|none| none.why)
}

fn plain(network: &HostNetwork) -> Result<String, String> {
    chosen(network, &WantedAddress::default())
}

#[test]
fn the_default_route_of_the_lowest_metric_decides() {
    let addresses = || vec![own("eth1 192.168.1.5/24"), own("eth0 10.0.0.11/24")];
    let two = machine(addresses(), vec![route("eth1", 200, None), route("eth0", 100, None)]);
    assert_eq!(plain(&two), Ok("10.0.0.11 eth0 default-route 0".to_owned()));
    let preferred = DefaultRoute { source: Some(ip("192.168.1.5")), ..route("eth0", 100, None) };
    assert_eq!(plain(&machine(addresses(), vec![preferred])), Ok("192.168.1.5 eth1 default-route 0".to_owned()));
    let equal = machine(addresses(), vec![route("eth1", 100, None), route("eth0", 100, None)]);
    let refused = choose(&equal, &WantedAddress::default()).unwrap_err();
    assert_eq!((refused.why.as_str(), refused.candidates.len()), ("the default route has several ways: over eth0 and eth1", 2));
}

#[test]
fn of_several_addresses_the_one_beside_the_gateway_is_taken_and_no_secondary_or_host_address_of_others() {
    let secondary = HostAddress { secondary: true, ..own("eth0 10.0.0.12/24") };
    let addresses = vec![own("eth0 10.0.0.200/32"), secondary, own("eth0 172.16.0.9/16"), own("eth0 10.0.0.11/24")];
    let beside = machine(addresses.clone(), vec![route("eth0", 0, Some("10.0.0.1"))]);
    assert_eq!(plain(&beside), Ok("10.0.0.11 eth0 default-route 0".to_owned()));
    let unknown = machine(addresses, vec![route("eth0", 0, None)]);
    assert_eq!(plain(&unknown), Ok("172.16.0.9 eth0 default-route 0".to_owned()));
    let host_only = machine(vec![own("eth0 10.0.0.11/32")], vec![route("eth0", 0, Some("10.0.0.1"))]);
    assert_eq!(plain(&host_only), Ok("10.0.0.11 eth0 default-route 0".to_owned()));
}

#[test]
fn a_vip_is_never_chosen() {
    let vip = || has("eth0 10.0.0.100/32", AddressUse::Vip);
    let leased = || has("eth0 10.0.0.101/32", AddressUse::HostWithLifetime);
    let silent = || has("lo 10.0.0.102/32", AddressUse::Loopback);
    let own_too = machine(vec![vip(), leased(), silent(), own("eth0 10.0.0.11/24")], vec![route("eth0", 0, None)]);
    assert_eq!(plain(&own_too), Ok("10.0.0.11 eth0 default-route 0".to_owned()));
    assert_eq!(chosen(&own_too, &wanted(None, Some("eth0"))), Ok("10.0.0.11 eth0 interface 0".to_owned()));
    let only_vips = machine(vec![vip(), leased(), silent()], vec![route("eth0", 0, None)]);
    assert!(plain(&only_vips).unwrap_err().contains("no IPv4 address of its own"));
    assert!(plain(&machine(vec![vip(), leased(), silent()], Vec::new())).unwrap_err().contains("no IPv4 address that other"));
    assert!(chosen(&only_vips, &wanted(Some("10.0.0.100"), None)).unwrap_err().contains("is a VIP"));
    assert!(chosen(&only_vips, &wanted(Some("10.0.0.102"), None)).unwrap_err().contains("is on lo"));
    let given = choose(&only_vips, &wanted(Some("10.0.0.101"), None)).unwrap();
    assert!(given.warnings[0].contains("has a lifetime"), "it may be from DHCP: {given:?}");
}

#[test]
fn without_a_default_route_an_address_is_taken_if_it_is_the_only_one() {
    let one = machine(vec![has("lo 127.0.0.1/8", AddressUse::Loopback), own("eth1 10.0.0.11/24")], Vec::new());
    assert_eq!(plain(&one), Ok("10.0.0.11 eth1 only-address 0".to_owned()));
    let refused =
        choose(&machine(vec![own("eth0 10.0.0.11/24"), own("eth1 10.1.0.11/24")], Vec::new()), &WantedAddress::default());
    let refused = refused.unwrap_err();
    assert!(refused.why.contains("no default route, but several"), "{refused}");
    let candidates: Vec<String> = refused.candidates.iter().map(|found| found.address.to_string()).collect();
    assert_eq!(candidates, ["10.0.0.11", "10.1.0.11"]);
}

#[test]
fn a_given_address_finds_its_interface_or_is_waited_for() {
    let network = machine(vec![own("eth0 10.0.0.11/24"), has("eth1 10.8.0.1/32", AddressUse::PointToPoint)], Vec::new());
    assert_eq!(chosen(&network, &wanted(Some("10.0.0.11"), None)), Ok("10.0.0.11 eth0 given 0".to_owned()));
    assert_eq!(chosen(&network, &wanted(Some("10.0.0.99"), None)), Ok("10.0.0.99 none given 1".to_owned()));
    assert_eq!(chosen(&network, &wanted(Some("10.8.0.1"), None)), Ok("10.8.0.1 eth1 given 1".to_owned()));
    for nowhere in ["127.0.0.1", "169.254.7.7"] {
        assert!(chosen(&network, &wanted(Some(nowhere), None)).unwrap_err().contains("does not reach other machines"));
    }
}

#[test]
fn a_given_interface_is_where_the_address_is_unless_it_is_for_vips() {
    let network = machine(vec![own("eth0 10.0.0.11/24"), own("eth1 10.1.0.11/24")], vec![route("eth0", 0, None)]);
    assert_eq!(chosen(&network, &wanted(None, Some("eth1"))), Ok("10.1.0.11 eth1 interface 0".to_owned()));
    assert!(chosen(&network, &wanted(None, Some("lo"))).unwrap_err().contains("lo has no IPv4 address of its own"));
    let missing = chosen(&network, &wanted(None, Some("ens3"))).unwrap_err();
    assert_eq!(missing, "there is no interface ens3 on this machine; it has eth0, eth1");
    let elsewhere = wanted(Some("10.0.0.11"), Some("eth1"));
    assert!(chosen(&network, &elsewhere).unwrap_err().contains("is on eth0, not on eth1"));
    let of_vips = WantedAddress { interface_of_vips: true, ..elsewhere };
    assert_eq!(chosen(&network, &of_vips), Ok("10.0.0.11 eth0 given 0".to_owned()));
    let late = WantedAddress { interface: Some("ens3".to_owned()), ..of_vips };
    assert_eq!(chosen(&network, &late), Ok("10.0.0.11 eth0 given 1".to_owned()));
}

proptest::proptest! {
    #[test]
    fn what_is_chosen_without_being_given_is_the_machines_own(
        kinds in proptest::collection::vec((0u8..6, 0u8..2, 8u8..=32), 0..6),
        routes in proptest::collection::vec((0u8..2, 0u32..3), 0..4),
    ) {
        use AddressUse::{HostWithLifetime, Loopback, OneLink, Own, PointToPoint, Vip};
        let kind = |number: u8| [Own, PointToPoint, HostWithLifetime, Vip, Loopback, OneLink][usize::from(number)];
        let addresses: Vec<HostAddress> = (0u8..)
            .zip(kinds)
            .map(|(number, (good_for, interface, prefix))| has(&format!("eth{interface} 10.0.{number}.11/{prefix}"), kind(good_for)))
            .collect();
        let routes = routes.into_iter().map(|(interface, metric)| route(&format!("eth{interface}"), metric, None)).collect();
        let network = machine(addresses, routes);
        for wanted in [WantedAddress::default(), wanted(None, Some("eth0"))] {
            match choose(&network, &wanted) {
                Ok(chosen) => {
                    let found = network.addresses.iter().find(|found| found.address == chosen.address).unwrap();
                    proptest::prop_assert_eq!((found.good_for, Some(&found.interface)), (Own, chosen.interface.as_ref()));
                }
                Err(none) => proptest::prop_assert!(none.candidates.iter().all(|found| found.good_for == Own)),
            }
        }
    }
}
