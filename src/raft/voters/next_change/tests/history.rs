//! Histories of a cluster: nodes join, die, come back and leave, and the steps are taken as its leaders decide them.

use super::node;
use crate::{
    clock::BootInstant,
    model::{NodeId, NodeName, NodeRecord, Role, ZoneName},
    raft::voters::{
        best_set::most_voters,
        liveness::Liveness,
        next_change::{Change, DEAD_AFTER, Input, Members, next_change},
    },
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const TICK: Duration = Duration::from_secs(5);
/// Where nothing depends on what happens within it; longer than the leader waits for calm.
const LONG_TICK: Duration = Duration::from_secs(15);
const SPACING: Duration = Duration::from_millis(600);

/// A cluster, its Raft membership, and whoever leads.
struct World {
    now: Duration,
    nodes: BTreeMap<NodeName, NodeRecord>,
    alive: BTreeSet<NodeId>,
    members: Members,
    leader: Option<NodeId>,
    hearing: Liveness,
    changed_at: Duration,
    /// Changes of voters so far.
    changes: Vec<Change>,
}

impl World {
    /// The first node leads alone; the others come.
    fn of(words: &[&str]) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            nodes: BTreeMap::new(),
            alive: BTreeSet::new(),
            members: Members::default(),
            leader: None,
            hearing: Liveness::default(),
            changed_at: Duration::ZERO,
            changes: Vec::new(),
        };
        words.iter().for_each(|word| world.join(word));
        let founder = node(words[0]);
        world.members.voters = vec![BTreeSet::from([founder.id])];
        world.members.addresses.insert(founder.id, founder.addr);
        world
    }

    fn join(&mut self, word: &str) {
        let record = node(word);
        self.alive.insert(record.id);
        self.nodes.insert(record.name.clone(), record);
    }

    fn voters(&self) -> &BTreeSet<NodeId> {
        &self.members.voters[0]
    }

    fn ids(&self) -> Vec<u64> {
        self.voters().iter().map(|id| id.0).collect()
    }

    fn has_majority(&self) -> bool {
        self.voters().intersection(&self.alive).count() * 2 > self.voters().len()
    }

    fn kill(&mut self, id: u64) {
        self.alive.remove(&NodeId(id));
    }

    /// As the agent does: only when the others can take its vote away.
    fn leave(&mut self, id: u64) {
        let id = NodeId(id);
        let rest: Vec<_> = self.voters().iter().filter(|voter| **voter != id).collect();
        let able = rest.iter().filter(|voter| self.alive.contains(voter) && self.nodes.values().any(|n| n.id == ***voter));
        if self.nodes.len() > 1 && self.alive.contains(&id) && able.count() * 2 > rest.len() {
            self.nodes.retain(|_, node| node.id != id);
        }
    }

    fn elect(&mut self) {
        let stands = |id: &NodeId| self.alive.contains(id) && self.voters().contains(id);
        if self.leader.is_some_and(|leader| stands(&leader)) && self.has_majority() {
            return;
        }
        // Those that stay lead rather than one that is about to leave.
        let stays = |id: &&NodeId| self.nodes.values().any(|node| node.id == **id);
        let next = self.voters().iter().filter(|id| stands(id)).max_by_key(|id| stays(id)).copied();
        self.leader = next.filter(|_| self.has_majority());
        self.hearing = Liveness::default();
        self.changed_at = self.now;
    }

    /// Lets time pass, step by step.
    fn pass(&mut self, time: Duration) {
        self.pass_by(time, TICK);
    }

    fn pass_by(&mut self, time: Duration, tick: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += tick;
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.elect();
        let Some(me) = self.leader else { return };
        let live: BTreeSet<NodeName> =
            self.nodes.values().filter(|node| self.alive.contains(&node.id)).map(|node| node.name.clone()).collect();
        let now = BootInstant::from_boot(self.now);
        self.hearing.look(self.nodes.keys(), &live, now);
        let reached: BTreeSet<NodeId> = self.members.addresses.keys().copied().filter(|id| self.alive.contains(id)).collect();
        let change = next_change(&Input {
            me,
            nodes: &self.nodes,
            live: &live,
            acking: &reached,
            silent_for: &self.hearing.silent_for(now),
            lately_back: &self.hearing.lately_back(now),
            caught_up: &reached,
            told: &reached,
            members: &self.members,
            settled: true,
            own_term_committed: true,
            quiet_for: self.now - self.changed_at,
            settled_for: self.now - self.changed_at,
            spacing: SPACING,
        });
        if let Some(change) = change {
            self.take(me, change);
        }
    }

    /// What openraft makes of a step.
    fn take(&mut self, me: NodeId, change: Change) {
        if change == Change::Demote(me) {
            // It hands leadership over first.
            let next = self.voters().iter().copied().find(|id| *id != me && self.alive.contains(id));
            self.leader = next;
            self.hearing = Liveness::default();
            self.changed_at = self.now;
            assert!(next.is_some());
            return;
        }
        assert!(self.has_majority());
        let before = self.voters().len();
        let addresses = &mut self.members.addresses;
        match &change {
            Change::Complete => unreachable!("nobody leaves a joint membership behind here"),
            Change::Promote(id) => assert!(addresses.contains_key(id) && self.members.voters[0].insert(*id)),
            Change::Demote(id) | Change::RemoveVoter(id) => assert!(self.members.voters[0].remove(id)),
            Change::RemoveLearner(id) => {
                assert!(!self.members.voters[0].contains(id) && addresses.remove(id).is_some());
                self.alive.remove(id);
            }
            Change::AddLearner(record) => assert!(addresses.insert(record.id, record.addr).is_none()),
            Change::SetAddress(record) => assert!(addresses.insert(record.id, record.addr).is_some()),
        }
        self.changed_at = self.now;
        if matches!(change, Change::Promote(_) | Change::Demote(_) | Change::RemoveVoter(_)) {
            self.check(before, &change);
            self.changes.push(change);
        }
    }

    /// What holds after every change of voters.
    fn check(&self, before: usize, change: &Change) {
        assert!(self.has_majority(), "{change:?} left {:?} of which {:?} are alive", self.voters(), self.alive);
        // Where the rest could not decide without one that left, another member votes before that one goes.
        let gone = self.voters().iter().filter(|id| self.nodes.values().all(|node| node.id != **id)).count();
        assert!(self.voters().len() <= 5 + gone.min(1) && self.voters().len() - gone <= 5, "{change:?} made {:?}", self.voters());
        let left = before > self.voters().len() && matches!(change, Change::Demote(_));
        let floor = most_voters(self.nodes.len()).min(3);
        assert!(!left || self.voters().len() >= floor, "{change:?} left {:?} of {} members", self.voters(), self.nodes.len());
    }

    /// How good a set of voters is: a dumb twin of `electors`.
    fn worth(&self, set: &[&NodeRecord]) -> (bool, i64, usize, i64, usize) {
        let needed = i64::try_from(set.len() / 2 + 1).unwrap();
        let zones: BTreeSet<ZoneName> = set.iter().map(|node| zone(node)).collect();
        let alive = |node: &&&NodeRecord| self.alive.contains(&node.id);
        let left = |without: &ZoneName| set.iter().filter(alive).filter(|node| zone(node) != *without).count();
        let survives = zones.iter().all(|zone| i64::try_from(left(zone)).unwrap() >= needed);
        let largest = zones.iter().map(|zone| set.iter().filter(|node| self::zone(node) == *zone).count()).max().unwrap();
        let crowd = (i64::try_from(largest).unwrap() - (i64::try_from(set.len()).unwrap() - needed)).max(0);
        let there = i64::try_from(set.iter().filter(alive).count()).unwrap();
        let directors = set.iter().filter(alive).filter(|node| node.roles.has(Role::Director)).count();
        // The vote of a single voter is not moved.
        let directors = if set.len() == 1 { 0 } else { directors };
        (survives, there - needed, set.len(), -crowd, directors)
    }

    /// The best there is for living members to vote in: among all odd sets.
    fn best(&self) -> (bool, i64, usize, i64, usize) {
        let alive: Vec<&NodeRecord> = self.nodes.values().filter(|node| self.alive.contains(&node.id)).collect();
        let most = most_voters(self.nodes.len());
        let sets = (1_u32..1 << alive.len()).map(|bits| {
            alive.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, node)| *node).collect::<Vec<_>>()
        });
        let allowed = sets.filter(|set| set.len() % 2 == 1 && set.len() <= most);
        allowed.map(|set| self.worth(&set)).max().unwrap()
    }
}

fn zone(node: &NodeRecord) -> ZoneName {
    node.zone.clone().unwrap_or_else(|| format!("own-{}", node.id.0).parse().unwrap())
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const SEVEN: [&str; 7] = ["d1", "d2", "r3", "r4", "r5", "r6", "r7"];

#[test]
fn voters_killed_one_by_one_leave_a_majority_down_to_three_of_seven() {
    let mut world = World::of(&SEVEN);
    world.pass(minutes(2));
    assert_eq!(world.ids(), [1, 2, 3, 4, 5]);
    for kills in 1..=4 {
        let victim = world.ids().into_iter().find(|id| world.alive.contains(&NodeId(*id))).unwrap();
        world.kill(victim);
        world.pass(minutes(3));
        assert!(world.has_majority() && world.leader.is_some(), "after {kills}: {:?}", world.ids());
    }
    assert_eq!(world.ids(), [5, 6, 7], "the living three");
    world.kill(5);
    world.pass(minutes(3));
    assert!(world.has_majority(), "even one more");
    for id in [1, 2, 3, 4, 5] {
        world.alive.insert(NodeId(id));
        world.pass(minutes(3));
    }
    assert_eq!(world.voters().len(), 5);
    assert!(world.voters().contains(&NodeId(1)) && world.voters().contains(&NodeId(2)), "directors first: {:?}", world.ids());
}

#[test]
fn killing_in_any_order_with_minutes_between_never_costs_the_majority() {
    // Every order in which four of seven die: 840.
    let orders = (0..7_u64.pow(4)).map(|n| [n % 7 + 1, n / 7 % 7 + 1, n / 49 % 7 + 1, n / 343 % 7 + 1]);
    let mut counted = 0;
    for order in orders.filter(|order| order.iter().collect::<BTreeSet<_>>().len() == 4) {
        let mut world = World::of(&SEVEN);
        world.pass_by(minutes(3), LONG_TICK);
        for victim in order {
            world.kill(victim);
            world.pass_by(minutes(2), LONG_TICK);
            assert!(world.has_majority(), "{order:?}: {:?}", world.ids());
        }
        counted += 1;
    }
    assert_eq!(counted, 840);
}

#[test]
fn a_flapping_node_changes_the_voters_a_few_times_not_all_day() {
    for (words, half) in [
        (["d1", "d2", "r3", "r4", "r5", "r6", "r7"], 20),
        (["d1", "d2", "r3", "r4", "r5", "r6", "r7"], 65),
        (["d1", "d2", "r3", "r4", "r5", "r6", "r7"], 130),
        (["d1", "d2@a", "r3@a", "r4@b", "r5@b", "r6@c", "r7@c"], 130),
    ] {
        let mut world = World::of(&words);
        world.pass(minutes(2));
        let before = world.changes.len();
        for _ in 0..8 * 3600 / (2 * half) {
            world.kill(2);
            world.pass(Duration::from_secs(half));
            world.alive.insert(NodeId(2));
            world.pass(Duration::from_secs(half));
        }
        let changes = &world.changes[before..];
        assert!(changes.len() <= if half < 60 { 0 } else { 12 }, "{words:?} {half}: {changes:?}");
    }
}

#[test]
fn a_node_that_restarts_within_the_minute_changes_nothing() {
    let mut world = World::of(&SEVEN);
    world.pass(minutes(2));
    let before = world.changes.len();
    for id in 1..=7 {
        world.kill(id);
        world.pass(DEAD_AFTER - 2 * TICK);
        world.alive.insert(NodeId(id));
        world.pass(minutes(2));
    }
    assert_eq!(world.changes.len(), before);
}

#[derive(Clone, Debug)]
enum Event {
    Kill(usize),
    Return(usize),
    Leave(usize),
    Join { director: bool, zone: u8 },
}

fn event() -> impl Strategy<Value = (Event, u64)> {
    let event = prop_oneof![
        3 => (0_usize..8).prop_map(Event::Kill),
        3 => (0_usize..8).prop_map(Event::Return),
        1 => (0_usize..8).prop_map(Event::Leave),
        1 => (any::<bool>(), 0_u8..5).prop_map(|(director, zone)| Event::Join { director, zone }),
    ];
    (event, prop_oneof![0_u64..40, 40_u64..400])
}

fn word(id: usize, director: bool, zone: u8) -> String {
    let role = if director { 'd' } else { 'r' };
    // Zones 0 and 1 are none.
    if zone < 2 { format!("{role}{id}") } else { format!("{role}{id}@z{zone}") }
}

impl World {
    fn happens(&mut self, event: &Event, last: &mut usize) {
        let nth = |n: usize| self.nodes.values().map(|node| node.id.0).nth(n % self.nodes.len());
        match event {
            Event::Kill(n) => {
                if let Some(id) = nth(*n) {
                    self.kill(id);
                }
            }
            Event::Return(n) => self.alive.extend(nth(*n).map(NodeId)),
            Event::Leave(n) => {
                if let Some(id) = nth(*n) {
                    self.leave(id);
                }
            }
            Event::Join { director, zone } => {
                if self.nodes.len() < 8 {
                    *last += 1;
                    self.join(&word(*last, *director, *zone));
                }
            }
        }
    }

    fn record(&self, id: &NodeId) -> &NodeRecord {
        self.nodes.values().find(|node| node.id == *id).expect("voters are members when all has come to rest")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// No step costs the majority (asserted at each), steps come to rest, and then the voters are the best that can be had.
    #[test]
    fn whatever_happens_the_voters_come_to_rest_at_their_best(
        nodes in proptest::collection::vec((any::<bool>(), 0_u8..5), 1..9),
        events in proptest::collection::vec(event(), 0..14),
        all_return: bool,
    ) {
        let words: Vec<String> = nodes.iter().zip(1..).map(|((director, zone), id)| word(id, *director, *zone)).collect();
        let mut world = World::of(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut last = words.len();
        world.pass(minutes(1));
        for (event, seconds) in &events {
            world.happens(event, &mut last);
            world.pass(Duration::from_secs(*seconds));
        }
        if all_return {
            world.alive.extend(world.nodes.values().map(|node| node.id).collect::<Vec<_>>());
        }
        // Longer than anybody's probation.
        world.pass_by(minutes(45), 2 * LONG_TICK);
        let changes = world.changes.len();
        world.pass_by(minutes(30), 2 * LONG_TICK);
        prop_assert_eq!(world.changes.len(), changes, "no rest: {:?}", world.changes);
        prop_assert!(changes <= 12 * (nodes.len() + events.len()));
        if world.leader.is_none() {
            return Ok(());
        }
        let all_alive = world.nodes.values().all(|node| world.alive.contains(&node.id));
        if all_return || all_alive {
            let voters: Vec<&NodeRecord> = world.voters().iter().map(|id| world.record(id)).collect();
            prop_assert_eq!(world.worth(&voters), world.best(), "{:?}", world.ids());
            prop_assert_eq!(world.members.addresses.len(), world.nodes.len());
        } else if world.voters().iter().all(|id| world.nodes.values().any(|node| node.id == *id)) {
            let voters: Vec<&NodeRecord> = world.voters().iter().map(|id| world.record(id)).collect();
            // With some dead, at least nobody dead votes while a living member could.
            let dead_votes = voters.iter().any(|node| !world.alive.contains(&node.id));
            let (idle, zoned) = (
                world.nodes.values().filter(|node| world.alive.contains(&node.id) && !world.voters().contains(&node.id)).count(),
                world.nodes.values().any(|node| node.zone.is_some()),
            );
            prop_assert!(zoned || !dead_votes || idle == 0, "{:?} {:?}", world.ids(), world.alive);
        }
    }
}
