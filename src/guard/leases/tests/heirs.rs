//! Tests of addresses that go from one group to another.

use super::*;

fn named(name: &str, vips: &[&str], candidates: &[NodeId]) -> GroupOrder {
    let mut order = order(vips);
    (order.group.name, order.candidates) = (name.parse().unwrap(), candidates.to_vec());
    order
}

/// A cluster whose group `web` is held by the first director, with these addresses.
fn holding(vips: &[&str]) -> World {
    let mut world = World::new(&[D1, D2, WITNESS]);
    for id in [D1, D2, WITNESS] {
        world.event(id, LeaseEvent::Groups(vec![order(vips)]));
    }
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
    world.node(D1).log.clear();
    world
}

/// Each node hears of these groups, `pause` after the one before.
fn hear(world: &mut World, nodes: [NodeId; 3], groups: &[GroupOrder], pause: u64) {
    for id in nodes {
        world.event(id, LeaseEvent::Groups(groups.to_vec()));
        world.run_ms(pause);
    }
}

fn taken_off(world: &mut World, id: NodeId) -> BTreeSet<Placement> {
    let places = |act: &Effect| match act {
        Effect::Remove { places, .. } => places.clone(),
        Effect::Install { stale, .. } => stale.clone(),
        _ => BTreeSet::new(),
    };
    world.node(id).log.iter().flat_map(places).collect()
}

#[test]
fn a_group_that_is_renamed_stays_where_it_is_whoever_hears_of_it_first() {
    for nodes in [[D1, D2, WITNESS], [D2, WITNESS, D1], [WITNESS, D2, D1]] {
        for pause in [0, 30, 400] {
            let mut world = holding(&["192.0.2.10", "192.0.2.11"]);
            hear(&mut world, nodes, &[named("www", &["192.0.2.10", "192.0.2.11"], &[D2, D1])], pause);
            world.run_ms(3000);
            assert_eq!(taken_off(&mut world, D1), BTreeSet::new(), "{nodes:?} {pause}");
            let held = world.node(D1).leases.ownership();
            assert!(matches!(held[&"www".parse().unwrap()], Holding::Held { .. }), "{held:?}");
            assert_eq!((held.len(), world.node(D1).leases.states().count()), (1, 1), "the former group is gone");
        }
    }
}

#[test]
fn a_split_moves_nothing_and_each_part_can_be_let_go_alone() {
    let mut world = holding(&["192.0.2.10", "192.0.2.11"]);
    let parts = [named("web", &["192.0.2.10"], &[D1, D2]), named("shop", &["192.0.2.11"], &[D2, D1])];
    hear(&mut world, [D2, D1, WITNESS], &parts, 30);
    world.run_ms(3000);
    assert_eq!(taken_off(&mut world, D1), BTreeSet::new());
    world.event(D1, LeaseEvent::Groups(vec![parts[0].clone()]));
    assert_eq!(taken_off(&mut world, D1), [place("192.0.2.11")].into());
    assert_eq!(world.node(D1).kernel, [place("192.0.2.10")].into());
}

#[test]
fn an_address_whose_new_group_this_node_may_not_hold_is_with_another_within_some_messages() {
    let mut world = holding(&["192.0.2.10"]);
    let groups = [named("shop", &["192.0.2.10"], &[D2])];
    hear(&mut world, [D2, WITNESS, D1], &groups, 100);
    world.run_ms(350);
    assert_eq!(world.holders(), [D2]);
}

#[test]
fn a_group_that_comes_to_another_nodes_has_its_address_within_some_messages() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.one_holder_only = false;
    let apart = [named("web", &["192.0.2.10"], &[D1, D2]), named("shop", &["192.0.2.11"], &[D2, D1])];
    hear(&mut world, [D1, D2, WITNESS], &apart, 0);
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1, D2]);
    hear(&mut world, [D1, D2, WITNESS], &[named("web", &["192.0.2.10", "192.0.2.11"], &[D1, D2])], 0);
    let mut waited = 0;
    while world.nodes[&D1].kernel.len() < 2 {
        world.run_ms(1);
        waited += 1;
        assert!(world.nodes[&D1].kernel.is_disjoint(&world.nodes[&D2].kernel), "two have it");
    }
    assert!(world.nodes[&D2].kernel.is_empty());
    assert_eq!(waited, 4, "it is told that the address is off, asks a little later, and is answered");
}

#[test]
fn a_removal_that_the_kernel_refuses_leaves_the_address_under_the_lease() {
    let mut world = holding(&["192.0.2.10", "192.0.2.11"]);
    world.node(D1).stubborn = true;
    let parts = [named("web", &["192.0.2.10"], &[D1, D2]), named("shop", &["192.0.2.11"], &[D2])];
    hear(&mut world, [D1, D2, WITNESS], &parts, 10);
    world.run_ms(3000);
    assert_eq!((world.holders(), world.node(D1).kernel.len()), (vec![D1], 2), "nobody else takes what is still there");
    world.node(D1).stubborn = false;
    world.one_holder_only = false;
    world.run_ms(500);
    assert_eq!(world.node(D1).kernel, [place("192.0.2.10")].into());
    assert_eq!(world.node(D2).kernel, [place("192.0.2.11")].into());
}
