//! The rules for which random search would need too long: each has a schedule that makes two holders without the rule, and none with it.

use cluster_tests::sim::{Options, TTL, Violated, dice::Dice, log::LogRuleToggles, rules::one_group, world::World};
use lvs_agent::{
    guard::leases::LeaseEvent,
    model::NodeId,
    vip::{LeaseMessage, rule_toggles::RuleToggles},
};
use std::collections::BTreeSet;

/// Holds in every script, in a corner of the network that the rest does not reach.
const OLD_HOLDER: usize = 0;
/// Wants it, and votes nowhere.
const RIVAL: usize = 5;

fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().copied().map(NodeId).collect()
}

/// Six nodes on a calm network, up for a while; node 0 holds although the rival is the better candidate.
fn calm_world(voters: &[u64], options: Options, seed: u64) -> World {
    let options = Options { kernel_failures: false, ..options };
    let mut world = World::new(6, vec![set(voters)], one_group(&[RIVAL, OLD_HOLDER]), options, Dice::new(seed));
    world.network.delay = TTL / 3_000;
    pass(&mut world, 3);
    old_holder_takes_it(&mut world);
    world
}

fn old_holder_takes_it(world: &mut World) {
    world.input(RIVAL, LeaseEvent::Ready(false));
    pass(world, 1);
    assert_eq!(world.holders(), [OLD_HOLDER]);
    world.input(RIVAL, LeaseEvent::Ready(true));
    pass(world, 1);
}

fn without(switch: fn(&mut Options)) -> Options {
    let mut options = Options::default();
    switch(&mut options);
    options
}

fn pass(world: &mut World, ttls: u64) {
    world.run_until(world.now + ttls * TTL);
}

fn cut(world: &mut World, here: usize, there: &[usize]) {
    world.network.cut.extend(there.iter().flat_map(|other| [(here, *other), (*other, here)]));
}

/// The leader sends these followers its whole log, twice, so that they hear what has been committed.
fn spread(world: &mut World, leader: usize, followers: &[usize]) {
    for follower in followers.iter().chain(followers) {
        world.replicate(leader, *follower, world.log.len(leader));
    }
}

/// A change and its completion, each stored where the two lists say; says how far it got.
fn change(world: &mut World, leader: usize, to: &[u64], joint_on: &[usize], uniform_on: &[usize]) -> usize {
    if !world.propose(leader, &set(to)) {
        return 0;
    }
    spread(world, leader, joint_on);
    if !world.propose(leader, &set(to)) {
        return 1;
    }
    spread(world, leader, uniform_on);
    2
}

/// The rival, which has waited until then, asks at once.
fn rival_asks(world: &mut World) {
    world.input(RIVAL, LeaseEvent::Ready(false));
    world.input(RIVAL, LeaseEvent::Ready(true));
    pass(world, 1);
}

/// Two changes in a row, {0,1,2} to {0,1,2,3} to {1,2,3}, while the old holder holds by 0 and 1.
fn two_changes(options: Options, wait_between: u64, seed: u64) -> (usize, Option<Violated>) {
    let mut world = calm_world(&[0, 1, 2], options, seed);
    assert!(world.election_among(2, &[0, 1, 3, 4, 5]));
    spread(&mut world, 2, &[0, 1, 3, 4, 5]);
    cut(&mut world, OLD_HOLDER, &[2, 3, 4, 5]);
    pass(&mut world, 4);
    assert_eq!(world.holders(), [OLD_HOLDER]);
    assert_eq!(change(&mut world, 2, &[0, 1, 2, 3], &[1, 3], &[1, 3]), 2);
    pass(&mut world, wait_between);
    let second = change(&mut world, 2, &[1, 2, 3], &[1, 3], &[3]);
    spread(&mut world, 2, &[RIVAL]);
    if !world.options.log.order_of_knowing {
        let known = world.log.effective(RIVAL);
        world.input(RIVAL, LeaseEvent::Membership(known));
    }
    rival_asks(&mut world);
    (second, world.violation)
}

#[test]
fn spacing_keeps_a_lease_of_two_memberships_ago_from_meeting_a_new_one() {
    assert_eq!(two_changes(Options::default(), 0, 1), (0, None));
    let (second, found) = two_changes(without(|options| options.log.spacing = false), 0, 1);
    assert_eq!((second, found.map(|found| found.nodes)), (2, Some(vec![OLD_HOLDER, RIVAL])));
}

#[test]
fn spacing_from_the_earlier_of_both_is_none_for_a_leader_of_long_standing() {
    let (second, found) = two_changes(without(|options| options.log.later_of = false), 0, 1);
    assert_eq!((second, found.map(|found| found.nodes)), (2, Some(vec![OLD_HOLDER, RIVAL])));
}

#[test]
fn guards_that_learn_late_let_an_old_membership_live() {
    let late = without(|options| options.log.order_of_knowing = false);
    let found = (1..=100).find(|seed| two_changes(late, 3, *seed).1.is_some());
    assert!(found.is_some(), "the lag is thrown: some of a hundred throws are long enough");
    for seed in 1..=100 {
        assert_eq!(two_changes(Options::default(), 3, seed), (2, None));
    }
}

/// Two leaders each store a joint membership of their own that is never committed, on either side of a split.
fn rival_joints(options: Options) -> Option<Violated> {
    let mut world = calm_world(&[0, 1, 2, 3], options, 1);
    assert!(world.election_among(OLD_HOLDER, &[1, 2, 3]));
    spread(&mut world, OLD_HOLDER, &[1, 2, 3, 4, 5]);
    pass(&mut world, 3);
    assert!(world.propose(OLD_HOLDER, &set(&[0, 1, 2])), "stored on node 0 only");
    assert!(!world.election_among(3, &[2]), "two of four elect nobody");
    assert!(world.election_among(3, &[1, 2]));
    spread(&mut world, 3, &[1, 2, 4, 5]);
    for node in [0, 1] {
        cut(&mut world, node, &[2, 3, RIVAL]);
    }
    pass(&mut world, 3);
    assert!(world.propose(3, &set(&[1, 2, 3])));
    spread(&mut world, 3, &[2, RIVAL]);
    pass(&mut world, 3);
    world.violation
}

#[test]
fn joint_memberships_need_both_majorities() {
    assert_eq!(rival_joints(Options::default()), None);
    let found = rival_joints(without(|options| options.product.both_majorities = false));
    assert_eq!(found.map(|found| found.nodes), Some(vec![OLD_HOLDER, RIVAL]));
}

/// The holder's clock is slow and everyone else's is fast, by what is allowed; again and again the holder's guard stops.
fn slow_holder(product: RuleToggles) -> Option<Violated> {
    let mut world = calm_world(&[0, 1, 2], Options { product, ..Options::default() }, 1);
    for node in 0..world.nodes.len() {
        let rate = if node == OLD_HOLDER { 995_000 } else { 1_005_000 };
        world.nodes[node].clock.change_rate(world.now, rate);
    }
    for _ in 0..100 {
        let some_time = world.dice.below(TTL);
        world.run_until(world.now + some_time);
        world.pause(OLD_HOLDER, 2 * TTL);
        pass(&mut world, 4);
        if world.violation.is_some() {
            break;
        }
        old_holder_takes_it(&mut world);
    }
    world.violation
}

#[test]
fn the_margin_covers_clocks_that_drift() {
    assert_eq!(slow_holder(RuleToggles::ON), None);
    let found = slow_holder(RuleToggles { drift_margin: false, ..RuleToggles::ON });
    assert_eq!(found.map(|found| found.nodes), Some(vec![OLD_HOLDER, RIVAL]));
}

/// The ghost of docs/lease.md. A leader (node 2) commits a joint {012|0123} and stores the uniform {0123} only itself. Node 0 leads next, goes
/// back to {012} without having committed anything of its own, and loses. Node 2 leads again, commits {0123} of its old term, and later {01234}. The
/// ghost {012} has the newer-looking id than {0123}, so node 1 goes on granting it.
fn ghost(log: LogRuleToggles) -> Option<Violated> {
    let mut world = calm_world(&[0, 1, 2], Options { log, ..Options::default() }, 1);
    assert!(world.election_among(2, &[0, 1, 3, 4, 5]));
    spread(&mut world, 2, &[0, 1, 3, 4, 5]);
    pass(&mut world, 3);
    assert_eq!(change(&mut world, 2, &[0, 1, 2, 3], &[0, 1, 3, 4, 5], &[]), 2);

    assert!(world.election_among(0, &[1, 3]));
    let ghost_is_born = world.propose(0, &set(&[0, 1, 2]));
    assert_eq!(ghost_is_born, !log.own_term, "nothing of term 3 is committed");
    cut(&mut world, OLD_HOLDER, &[2, 3, 4, 5]);

    assert!(!world.election_among(2, &[1, 3]), "its term is over, which it learns now");
    assert!(world.election_among(2, &[1, 3]));
    spread(&mut world, 2, &[1, 3, 4, 5]);
    pass(&mut world, 3);
    assert_eq!(change(&mut world, 2, &[0, 1, 2, 3, 4], &[1, 3, 4, 5], &[3, 4, 5]), 2);
    rival_asks(&mut world);
    world.violation
}

#[test]
fn a_leader_changes_nothing_before_it_has_committed_an_entry_of_its_own_term() {
    let ghost_can_be_born = LogRuleToggles { own_term: false, completes_forward: false, ..LogRuleToggles::ON };
    assert_eq!(ghost(ghost_can_be_born).map(|found| found.nodes), Some(vec![OLD_HOLDER, RIVAL]));
    assert_eq!(
        ghost(LogRuleToggles { completes_forward: false, ..LogRuleToggles::ON }),
        None,
        "the own-term rule alone prevents it"
    );
    assert_eq!(ghost(LogRuleToggles { own_term: false, ..LogRuleToggles::ON }), None, "so does completing only to the new set");
    assert_eq!(ghost(LogRuleToggles::ON), None);
}

/// A holder lets go, and its `Release` to voter 1 is late. That voter's guard starts again, and forgets. The holder's node starts again with the clock that numbers
/// rounds gone back, and hears nothing of voter 2, which remembers. It takes the group with the promises of 0 and 1, in a round before the one of the `Release`.
fn late_release(product: RuleToggles) -> Option<Violated> {
    let mut world = calm_world(&[0, 1, 2], Options { product, ..Options::default() }, 1);
    world.input(RIVAL, LeaseEvent::Ready(false));
    world.swallow = Some(|from, to, message| (from, to) == (OLD_HOLDER, 1) && matches!(message, LeaseMessage::Release { .. }));
    world.input(OLD_HOLDER, LeaseEvent::Ready(false));
    pass(&mut world, 1);
    world.swallow = None;
    cut(&mut world, OLD_HOLDER, &[2]);
    for node in [OLD_HOLDER, 1] {
        world.crash(node, false);
        world.start_guard(node);
        if let Some(guard) = world.nodes[node].guard.as_mut() {
            guard.lost = 20 * TTL;
        }
    }
    pass(&mut world, 4);
    assert_eq!(world.holders(), [OLD_HOLDER]);
    let late = std::mem::take(&mut world.swallowed);
    assert!(!late.is_empty());
    late.into_iter().for_each(|event| world.after(0, event));
    rival_asks(&mut world);
    world.violation
}

#[test]
fn a_late_release_of_an_earlier_life_ends_no_promise() {
    assert_eq!(late_release(RuleToggles::ON), None);
    let found = late_release(RuleToggles { own_life: false, ..RuleToggles::ON });
    assert_eq!(found.map(|found| found.nodes), Some(vec![OLD_HOLDER, RIVAL]));
}
