//! Tests of `sightings`.

use super::*;
use crate::{kernel::fence::Packets, model::VipGroup};

const ME: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const ETH0: u32 = 2;
const ETH1: u32 = 3;

fn at(millis: u64) -> BootInstant {
    BootInstant::from_boot(Duration::from_secs(100) + Duration::from_millis(millis))
}

fn web() -> VipName {
    "web".parse().unwrap()
}

fn vip() -> IpAddr {
    "192.0.2.10".parse().unwrap()
}

fn link(index: u32, name: &str, state: LinkState) -> Change {
    Change::Link { index, name: name.to_owned(), other_names: BTreeSet::new(), state }
}

fn address(index: u32, address: &str, prefix: u8, gone: bool) -> Change {
    Change::Address { index, address: address.parse().unwrap(), prefix, gone }
}

/// The group is on `eth1`.
fn orders(candidates: &[NodeId]) -> Vec<GroupOrder> {
    let group = VipGroup {
        name: web(),
        addresses: [vip()].into(),
        interface: "eth1".to_owned(),
        on_quorum_loss: crate::model::OnQuorumLoss::default(),
    };
    vec![GroupOrder { group, candidates: candidates.to_vec(), packets: Packets::Stop }]
}

/// A machine with `lo`, `eth0` (its own address) and `eth1`.
fn machine(candidates: &[NodeId], eth1: LinkState) -> Sightings {
    let mut sightings = Sightings::new("192.0.2.1".parse().unwrap());
    let links = [link(1, "lo", LinkState::Up), link(ETH0, "eth0", LinkState::Up), link(ETH1, "eth1", eth1)];
    let addresses = [address(1, "127.0.0.1", 8, false), address(ETH0, "192.0.2.1", 24, false)];
    sightings.list(links.into_iter().chain(addresses).collect(), true, at(0));
    sightings.set_groups(&orders(candidates), ME);
    sightings
}

fn held() -> Claims {
    let places: BTreeSet<Placement> = [("eth1".to_owned(), vip())].into();
    Claims { ours: places.clone(), held: [(web(), places)].into() }
}

fn barred(why: &str) -> Obstacles {
    [(web(), why.to_owned())].into()
}

fn stray(interface: &str) -> Stray {
    Stray { group: web(), address: vip(), interface: interface.to_owned() }
}

#[test]
fn a_director_whose_link_is_down_is_barred_and_so_is_one_without_the_interface_and_a_server_is_not() {
    let mut sightings = machine(&[ME, OTHER], LinkState::NoCarrier);
    let barred = Judgement { barred: barred("its interface eth1 has no carrier"), ..Judgement::default() };
    assert_eq!(sightings.judge(&Claims::default(), at(0)), barred);
    assert_eq!(
        sightings.problems(),
        ["interface eth1 of this node has no carrier: VIP group web is left to other directors until it is up"]
    );
    assert_eq!(sightings.judge(&Claims::default(), at(1)), barred);
    sightings.change(Change::LinkGone { index: ETH1 }, at(2));
    assert_eq!(sightings.judge(&Claims::default(), at(2)).barred, self::barred("no interface eth1"));
    assert_eq!(sightings.problems(), [""; 0]);
    assert_eq!(machine(&[OTHER], LinkState::NoCarrier).judge(&Claims::default(), at(0)), Judgement::default());
}

#[test]
fn a_holder_is_barred_at_once_and_again_free_when_its_link_has_been_up_for_a_second() {
    let mut sightings = machine(&[ME, OTHER], LinkState::Up);
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(10));
    assert_eq!(sightings.judge(&held(), at(10)), Judgement::default());
    sightings.change(link(ETH1, "eth1", LinkState::SetDown), at(20));
    assert_eq!(sightings.judge(&held(), at(20)).barred, barred("its interface eth1 is set down"));
    sightings.change(address(ETH1, "192.0.2.10", 32, true), at(20));
    sightings.change(link(ETH1, "eth1", LinkState::Up), at(30));
    let settling = barred("its interface eth1 has been up for less than a second");
    assert_eq!(sightings.judge(&Claims::default(), at(30)).barred, settling);
    assert_eq!(sightings.deadline(), Some(at(1030)));
    assert_eq!(sightings.judge(&Claims::default(), at(1029)).barred, settling);
    assert_eq!(sightings.judge(&Claims::default(), at(1030)).barred, Obstacles::new());
    assert_eq!((sightings.deadline(), sightings.problems()), (None, Vec::new()));
}

#[test]
fn a_link_that_was_down_too_shortly_to_be_seen_keeps_its_vip_which_is_put_on_and_announced_again() {
    let mut sightings = machine(&[ME, OTHER], LinkState::Up);
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(10));
    sightings.change(link(ETH1, "eth1", LinkState::SetDown), at(20));
    sightings.change(link(ETH1, "eth1", LinkState::Up), at(20));
    assert_eq!(sightings.judge(&held(), at(20)), Judgement { disturbed: vec![web()], ..Judgement::default() });
    assert_eq!(sightings.judge(&held(), at(21)), Judgement::default());
    assert_eq!(sightings.judge(&held(), at(2000)), Judgement::default());
}

#[test]
fn a_vip_that_is_gone_where_it_is_held_is_put_back_at_once_and_each_time_50_ms_later() {
    let mut sightings = machine(&[ME, OTHER], LinkState::Up);
    let back = Judgement { disturbed: vec![web()], ..Judgement::default() };
    assert_eq!(sightings.judge(&held(), at(0)), back);
    assert_eq!(sightings.judge(&held(), at(1)), Judgement::default());
    assert_eq!(sightings.deadline(), Some(at(50)));
    // With another prefix length it is somebody else's, whose it will be gone with.
    sightings.change(address(ETH1, "192.0.2.10", 24, false), at(2));
    assert_eq!(sightings.judge(&held(), at(50)), back);
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(51));
    assert_eq!(sightings.judge(&held(), at(200)), Judgement::default());
    assert_eq!(sightings.deadline(), None);
}

#[test]
fn a_vip_is_a_stray_on_any_interface_but_lo_and_where_the_leases_have_put_it() {
    let mut sightings = machine(&[OTHER], LinkState::Up);
    sightings.change(address(1, "192.0.2.10", 32, false), at(0));
    assert_eq!(sightings.judge(&Claims::default(), at(0)), Judgement::default());
    sightings.change(address(ETH0, "192.0.2.10", 24, false), at(0));
    sightings.change(address(ETH0, "192.0.2.10", 32, false), at(0));
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(0));
    assert_eq!(sightings.judge(&Claims::default(), at(0)).strays, [stray("eth0"), stray("eth1")]);
    for found in [stray("eth0"), stray("eth1")] {
        assert_eq!(sightings.taken_off(&found, Ok(()), at(0)), 1);
    }
    let claims = Claims { ours: held().ours, held: BTreeMap::new() };
    assert_eq!(sightings.judge(&claims, at(1)).strays, [stray("eth0")], "not where it is being put on or taken off");
    assert!(
        sightings.problems()[0].contains("has put 192.0.2.10 of VIP group web on eth0 of this node"),
        "{:?}",
        sightings.problems()
    );
}

#[test]
fn an_address_that_becomes_a_vip_is_found_and_a_nodes_own_address_is_left() {
    let mut sightings = machine(&[OTHER], LinkState::Up);
    sightings.set_groups(&[], ME);
    sightings.change(address(ETH0, "192.0.2.10", 24, false), at(0));
    assert_eq!(sightings.judge(&Claims::default(), at(0)), Judgement::default());
    let mut orders = orders(&[OTHER]);
    orders[0].group.addresses.insert("192.0.2.1".parse().unwrap());
    sightings.set_groups(&orders, ME);
    assert_eq!(sightings.judge(&Claims::default(), at(0)).strays, [stray("eth0")]);
}

#[test]
fn a_new_list_replaces_addresses_and_tells_what_has_changed_since() {
    let mut sightings = machine(&[ME, OTHER], LinkState::Up);
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(0));
    assert!(!sightings.change(address(9, "192.0.2.10", 32, false), at(0)), "nobody has told of that interface");
    let links = [link(ETH1, "eth1", LinkState::Up), link(9, "eth9", LinkState::Up)];
    sightings.list(links.into_iter().chain([address(9, "192.0.2.10", 32, false)]).collect(), false, at(1));
    let judgement = sightings.judge(&held(), at(1));
    assert_eq!((judgement.disturbed, judgement.strays), (vec![web()], vec![stray("eth9")]));
}

#[test]
fn a_renewal_of_what_is_there_is_no_news_and_all_else_is() {
    let mut sightings = machine(&[ME], LinkState::Up);
    assert!(sightings.has_news(at(0)), "nobody has judged yet");
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(0));
    assert_eq!(sightings.judge(&held(), at(0)), Judgement::default());
    assert!(!sightings.has_news(at(1)));
    sightings.change(address(ETH1, "192.0.2.10", 32, false), at(1));
    assert!(!sightings.has_news(at(1)), "the same address, for longer");
    for change in [
        address(ETH1, "192.0.2.10", 32, true),
        address(ETH1, "192.0.2.10", 24, false),
        link(ETH1, "eth1", LinkState::NoCarrier),
        Change::LinkGone { index: ETH0 },
    ] {
        sightings.change(change.clone(), at(2));
        assert!(sightings.has_news(at(2)), "{change:?}");
        sightings.judge(&Claims::default(), at(2));
    }
    // A stray is judged again without a change.
    assert!(sightings.has_news(at(600_000)));
}
