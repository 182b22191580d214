//! What a status says of VIPs that nobody holds, that are held by fallback, or that not every director could take over.

use super::*;
use crate::model::NodeNetwork;

#[test]
fn what_keeps_directors_from_a_vip_is_told_with_their_names() {
    let mut world = World::well();
    assert_eq!(world.vip().why_unheld, None);
    for node in ["d1", "d2"] {
        world.node(node).holding.insert(name("front"), Holding::NotHeld);
        world.node(node).obstacles.insert(name("front"), "no interface eth9".to_owned());
    }
    assert_eq!(world.problems(), ["no node holds VIP group front: d1: no interface eth9; d2: no interface eth9"]);
    world.node("d2").live = false;
    assert_eq!(world.vip().why_unheld.as_deref(), Some("d1: no interface eth9; d2: not heard"));
}

#[test]
fn a_held_vip_that_a_director_could_not_take_over_is_a_problem() {
    let mut world = World::well();
    for (node, interface) in [("d1", "eth0"), ("d2", "eth1")] {
        world.node(node).network = Some(NodeNetwork { interfaces: [interface.to_owned()].into(), ..NodeNetwork::default() });
    }
    let problems = world.problems();
    assert!(matches!(&problems[..], [one] if one.starts_with("vip front: d2 has no eth0, it has eth1;")), "{problems:?}");
}

#[test]
fn without_a_majority_of_the_voters_or_a_director_that_is_the_cause() {
    let mut world = World::well();
    world.node("d1").holding.insert(name("front"), Holding::NotHeld);
    for node in ["d2", "r1"] {
        world.node(node).live = false;
    }
    let why = world.vip().why_unheld.unwrap();
    assert_eq!(why, "no majority of the voters is heard (d2, r1 not); d1: asks the voters for it; d2: not heard");
    for node in world.state.nodes.values_mut() {
        node.roles = Roles::new([Role::RealServer]).unwrap();
    }
    assert_eq!(world.vip().why_unheld.as_deref(), Some("no node has the role director"));
}

#[test]
fn a_vip_that_is_a_members_address_is_a_problem_as_long_as_it_is_applied() {
    let mut world = World::well();
    let front = world.state.rules.vips.get_mut(&name("front")).unwrap();
    front.addresses = [host(22)].into();
    let problems = world.problems();
    assert!(matches!(&problems[..], [one] if one.starts_with("vip front: 192.0.2.22 is the address of r2,")), "{problems:?}");
}

#[test]
fn a_director_could_take_a_vip_when_it_is_heard_in_service_and_nothing_is_in_its_way() {
    let mut world = World::well();
    let could = |world: &World| world.vip().could_hold.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(could(&world), [""; 0], "d1 holds it, d2 has not said anything of it yet");
    world.node("d2").holding.insert(name("front"), Holding::NotHeld);
    assert_eq!(could(&world), ["d2"]);
    world.node("d2").obstacles.insert(name("front"), "its kernel does not have the rules yet".to_owned());
    assert_eq!(could(&world), [""; 0]);
    world.node("d2").obstacles.clear();
    world.node("d2").facts.as_mut().unwrap().withdrawn = true;
    assert_eq!(could(&world), [""; 0]);
    world.node("d2").facts.as_mut().unwrap().withdrawn = false;
    world.node("d2").live = false;
    world.node("r1").holding.insert(name("front"), Holding::NotHeld);
    assert_eq!(could(&world), [""; 0], "r1 is no director");
}

#[test]
fn a_vip_that_is_held_without_a_majority_is_a_problem_and_a_lease_counts_before_it() {
    let mut world = World::well();
    world.node("d1").holding.clear();
    world.node("d2").holding.insert(name("front"), Holding::Fallback { since_unix_ms: 4_000 });
    let said = world.status();
    let vip = &said.vips[0];
    assert_eq!((vip.mode, vip.holder.clone(), vip.epoch, vip.held_ms), (VipMode::Fallback, Some(name("d2")), None, Some(6_000)));
    let told =
        "d2 holds VIP group front by fallback, without a majority of the voters, for 6 s: bring back a majority of the voters";
    assert_eq!(said.problems, [told]);
    world.holds("d1", 1, 1_000);
    assert_eq!((world.status().vips[0].mode, world.status().vips[0].holder.clone()), (VipMode::Lease, Some(name("d1"))));
}
