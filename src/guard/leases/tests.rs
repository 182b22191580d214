//! Tests of `leases` and `state`: three nodes whose acts are carried out in memory.

mod fallback;
mod fitness;
mod heirs;
mod kernel;
mod links;

use super::*;
use crate::{
    guard::sightings::Claims,
    kernel::fence::Packets,
    model::{Holding, OnQuorumLoss, Ownership, VipGroup},
};

const D1: NodeId = NodeId(1);
const D2: NodeId = NodeId(2);
const WITNESS: NodeId = NodeId(3);
const START: Duration = Duration::from_secs(1000);
/// How long before the end of its lifetime a kernel may take an address off.
const KERNEL_EARLY: Duration = Duration::from_millis(20);

/// One node: what it decided, and what its kernel has.
struct Node {
    leases: Leases,
    kernel: BTreeSet<Placement>,
    /// Its kernel takes them off then.
    lasts: Duration,
    announced: usize,
    /// Its kernel refuses to remove.
    stubborn: bool,
    /// Datagrams to and from it are lost.
    cut: bool,
    /// Everything it did.
    log: Vec<Effect>,
}

/// Acts are carried out at once, datagrams take a millisecond.
struct World {
    now: Duration,
    /// All addresses are of one group, so that one node has them.
    one_holder_only: bool,
    nodes: BTreeMap<NodeId, Node>,
    under_way: VecDeque<(Duration, SocketAddr, SocketAddr, LeaseMessage)>,
}

fn address(node: NodeId) -> SocketAddr {
    format!("10.0.0.{node}:7947", node = node.0).parse().unwrap()
}

fn membership(voters: &[NodeId]) -> LeaseMembership {
    let addresses = voters.iter().map(|node| (*node, address(*node))).collect();
    let id = crate::vip::MembershipId { term: 1, leader: D1, index: 1 };
    LeaseMembership { id, voters: vec![voters.iter().copied().collect()], addresses }
}

fn place(vip: &str) -> Placement {
    ("eth0".to_owned(), vip.parse().unwrap())
}

fn order(vips: &[&str]) -> GroupOrder {
    let addresses = vips.iter().map(|vip| vip.parse().unwrap()).collect();
    let group = VipGroup { name: web(), addresses, interface: "eth0".to_owned(), on_quorum_loss: OnQuorumLoss::Release };
    GroupOrder { group, candidates: vec![D1, D2], packets: Packets::Linger }
}

fn web() -> VipName {
    "web".parse().unwrap()
}

impl World {
    fn new(voters: &[NodeId]) -> Self {
        let mut world = World { now: START, one_holder_only: true, nodes: BTreeMap::new(), under_way: VecDeque::new() };
        for id in [D1, D2, WITNESS] {
            let started = BootInstant::from_boot(START.saturating_sub(Duration::from_secs(60)));
            let leases = Leases::new(id, TimingProfile::Lan, started, id.0 << 32);
            let node = Node {
                leases,
                kernel: BTreeSet::new(),
                lasts: Duration::ZERO,
                announced: 0,
                stubborn: false,
                cut: false,
                log: Vec::new(),
            };
            world.nodes.insert(id, node);
        }
        for id in [D1, D2, WITNESS] {
            world.event(id, LeaseEvent::Membership(membership(voters)));
            world.event(id, LeaseEvent::Groups(vec![order(&["192.0.2.10"])]));
            world.event(id, LeaseEvent::Ready(true));
        }
        world
    }

    fn event(&mut self, id: NodeId, event: LeaseEvent) {
        let at = Moment { now: BootInstant::from_boot(self.now), unix: self.now };
        let node = self.nodes.get_mut(&id).unwrap();
        if self.now + KERNEL_EARLY >= node.lasts {
            node.kernel.clear();
        }
        let mut acts: VecDeque<Effect> = node.leases.step(event, at).into();
        while let Some(act) = acts.pop_front() {
            node.log.push(act.clone());
            let result = match act {
                Effect::Send { to, message } => {
                    self.under_way.push_back((self.now + Duration::from_millis(1), address(id), to, message));
                    continue;
                }
                Effect::Install { group, places, stale, until, .. } => {
                    node.kernel.extend(places);
                    let left = if node.stubborn { stale.clone() } else { BTreeSet::new() };
                    node.kernel.retain(|place| left.contains(place) || !stale.contains(place));
                    node.lasts = self.now + Duration::from_secs((until - at.now).as_secs() + 1);
                    LeaseEvent::Installed { group, lasts: BootInstant::from_boot(node.lasts), left }
                }
                Effect::Extend { vips, .. } => {
                    let there: Vec<_> = node.kernel.iter().map(|(_, vip)| *vip).collect();
                    assert!(vips.iter().all(|vip| there.contains(vip)), "{id} extends what it does not have");
                    continue;
                }
                Effect::Probe { .. } => continue,
                Effect::Remove { group, .. } if node.stubborn => LeaseEvent::RemovalFailed(group),
                Effect::Remove { group, places, .. } => {
                    node.kernel.retain(|place| !places.contains(place));
                    LeaseEvent::Removed(group)
                }
                Effect::Announce { .. } => {
                    assert!(!node.kernel.is_empty(), "{id} announces what it does not have");
                    node.announced += 1;
                    continue;
                }
            };
            acts.extend(node.leases.step(result, at));
        }
        let holders = self.nodes.values().filter(|node| !node.kernel.is_empty()).count();
        assert!(holders <= 1 || !self.one_holder_only, "{holders} nodes have the vip");
    }

    /// Lets time pass, from one thing due to the next.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let deadlines = self.nodes.iter().filter_map(|(id, node)| Some((node.leases.deadline()?.since_boot(), *id)));
            let tick = deadlines.min();
            let arrival = self.under_way.front().map(|(at, ..)| *at);
            let next = tick.map(|(at, _)| at).into_iter().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                self.deliver();
            } else if let Some((_, id)) = tick {
                self.event(id, LeaseEvent::Tick);
            }
        }
        self.now = end;
    }

    fn deliver(&mut self) {
        let (_, source, to, message) = self.under_way.pop_front().unwrap();
        let id = |addr| *self.nodes.keys().find(|id| address(**id) == addr).unwrap();
        let (from, to) = (id(source), id(to));
        if !self.nodes[&from].cut && !self.nodes[&to].cut {
            self.event(to, LeaseEvent::Heard { from, source, messages: vec![message] });
        }
    }

    fn run_ms(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    fn holders(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, node)| !node.kernel.is_empty()).map(|(id, _)| *id).collect()
    }
}

#[test]
fn the_first_candidate_takes_the_vip_announces_it_and_says_so() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1100);
    assert_eq!(world.holders(), [D1]);
    assert_eq!(world.node(D1).announced, 5);
    let held = Holding::Held { epoch: 1, since_unix_ms: 1_000_002 };
    assert_eq!(world.node(D1).leases.ownership(), [(web(), held)].into());
    assert_eq!(world.node(D2).leases.ownership(), [(web(), Holding::NotHeld)].into());
    assert_eq!(world.node(WITNESS).leases.ownership(), [(web(), Holding::NotHeld)].into());
}

#[test]
fn a_guard_removes_before_it_sends_anything() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(100);
    for id in [D1, D2] {
        let first = &world.node(id).log[0];
        assert!(
            matches!(first, Effect::Remove { epoch: None, places, .. } if *places == [place("192.0.2.10")].into()),
            "{first:?}"
        );
    }
    // Who is no candidate has nothing to remove, and asks nothing.
    assert!(
        world
            .node(WITNESS)
            .log
            .iter()
            .all(|act| matches!(act, Effect::Send { message: LeaseMessage::Grant { .. } | LeaseMessage::Refuse { .. }, .. }))
    );
}

#[test]
fn a_holder_that_is_cut_off_lets_go_and_another_takes_over() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.node(D1).cut = true;
    // `event` asserts that the two never have it at the same time.
    world.run_ms(1000);
    assert_eq!(world.holders(), [D2]);
    world.node(D1).cut = false;
    world.run_ms(1000);
    assert_eq!(world.holders(), [D2]);
}

#[test]
fn retiring_hands_over_at_once_and_ends_with_nothing_held() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.event(D1, LeaseEvent::RetireAll);
    assert!(world.node(D1).leases.all_retired());
    world.run_ms(10);
    assert_eq!(world.holders(), [D2]);
    // The group is still in the rules; a node that returns asks for it again.
    world.event(D1, LeaseEvent::Return);
    world.event(D2, LeaseEvent::RetireAll);
    world.run_ms(10);
    assert_eq!(world.holders(), [D1]);
}

#[test]
fn nothing_is_released_before_the_kernel_confirms_the_removal() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    world.node(D1).stubborn = true;
    world.node(D1).log.clear();
    world.event(D1, LeaseEvent::RetireAll);
    world.run_ms(120);
    let removals = world.node(D1).log.iter().filter(|act| matches!(act, Effect::Remove { epoch: Some(1), .. })).count();
    assert_eq!(removals, 3, "at once, after 50 ms, after 100 ms");
    let released = |world: &mut World| {
        world.node(D1).log.iter().any(|act| matches!(act, Effect::Send { message: LeaseMessage::Release { .. }, .. }))
    };
    assert!(!released(&mut world));
    assert!(!world.node(D1).leases.all_retired());
    world.node(D1).stubborn = false;
    world.run_ms(50);
    assert!(released(&mut world));
    assert!(world.node(D1).leases.all_retired());
}

#[test]
fn changed_addresses_move_with_the_next_renewal_and_are_announced() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(10_000);
    let announced = world.node(D1).announced;
    for id in [D1, D2, WITNESS] {
        world.event(id, LeaseEvent::Groups(vec![order(&["192.0.2.11", "192.0.2.12"])]));
    }
    world.run_ms(80);
    assert_eq!(world.node(D1).kernel, [place("192.0.2.11"), place("192.0.2.12")].into());
    assert_eq!(world.node(D1).leases.places(), world.node(D1).kernel);
    assert!(world.node(D1).announced > announced);
}

#[test]
fn a_former_address_goes_at_once_or_as_soon_as_the_kernel_lets_it() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    let both = || LeaseEvent::Groups(vec![order(&["192.0.2.10", "192.0.2.11"])]);
    let one = || LeaseEvent::Groups(vec![order(&["192.0.2.11"])]);
    world.event(D1, both());
    world.run_ms(100);
    world.event(D1, one());
    world.run_ms(1);
    assert_eq!(world.node(D1).kernel, [place("192.0.2.11")].into());
    world.event(D1, both());
    world.run_ms(100);
    world.node(D1).stubborn = true;
    world.event(D1, one());
    world.run_ms(120);
    assert_eq!(world.node(D1).kernel, ["192.0.2.10", "192.0.2.11"].map(place).into());
    world.node(D1).stubborn = false;
    world.run_ms(50);
    assert_eq!(world.node(D1).kernel, [place("192.0.2.11")].into());
}

#[test]
fn candidates_that_do_not_vote_reach_each_other() {
    let mut world = World::new(&[WITNESS]);
    for id in [D1, D2, WITNESS] {
        world.event(id, LeaseEvent::Members([D1, D2, WITNESS].map(|member| (member, address(member))).into()));
    }
    world.run_ms(2000);
    assert_eq!(world.holders(), [D1]);
    world.event(D1, LeaseEvent::Fitness([(web(), Fitness(300))].into()));
    world.run_ms(10);
    assert_eq!(world.holders(), [D2]);
}

#[test]
fn a_group_that_leaves_the_rules_is_let_go_and_comes_back_anew() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    for id in [D1, D2, WITNESS] {
        world.event(id, LeaseEvent::Groups(vec![]));
    }
    world.run_ms(10);
    assert_eq!(world.holders(), []);
    assert_eq!(world.node(D1).leases.ownership(), Ownership::new());
    assert_eq!(world.node(D1).leases.places(), BTreeSet::new());
    for id in [D1, D2, WITNESS] {
        world.event(id, LeaseEvent::Groups(vec![order(&["192.0.2.10"])]));
    }
    world.run_ms(500);
    assert_eq!(world.holders(), [D1]);
}

#[test]
fn a_candidate_without_a_vote_is_answered_where_it_asked_from() {
    // D1 is in no membership, so nobody has been told where it listens.
    let mut world = World::new(&[D2, WITNESS]);
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
}

#[test]
fn a_single_voter_grants_to_itself_without_a_network() {
    let mut world = World::new(&[D1]);
    world.node(D1).cut = true;
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
}

#[test]
fn who_speaks_in_this_nodes_name_is_not_heard() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    let release = LeaseMessage::Release { group: web(), round: u64::MAX, life: 7 };
    world.node(WITNESS).log.clear();
    world.event(WITNESS, LeaseEvent::Heard { from: WITNESS, source: address(D2), messages: vec![release] });
    assert_eq!(world.node(WITNESS).log, []);
    world.run_ms(1000);
    assert_eq!(world.holders(), [D1]);
}

#[test]
fn a_renewal_says_what_should_be_there_and_what_is_new_should_not() {
    let mut world = World::new(&[D1, D2, WITNESS]);
    world.run_ms(1000);
    let kept = |world: &mut World| {
        let acts = std::mem::take(&mut world.node(D1).log).into_iter();
        acts.filter_map(|act| if let Effect::Install { kept, .. } = act { Some(kept) } else { None }).collect::<Vec<_>>()
    };
    let (old, both) = ([place("192.0.2.10")].into(), ["192.0.2.10", "192.0.2.11"].map(place).into());
    let seen = kept(&mut world);
    assert_eq!((seen[0].len(), &seen[1]), (0, &old), "taken, then renewed");
    world.event(D1, LeaseEvent::Groups(vec![order(&["192.0.2.10", "192.0.2.11"])]));
    world.run_ms(1000);
    let seen = kept(&mut world);
    assert_eq!((&seen[0], &seen[1]), (&old, &both), "the new one is put on, then renewed");
}
