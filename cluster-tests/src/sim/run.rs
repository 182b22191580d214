//! One seed from start to end: chaos, healing, and then take-overs under good conditions, which are measured.

use super::{
    Nanos, Options, TTL, Violated,
    dice::Dice,
    network::Network,
    rules::some_groups,
    world::{Event, World},
};
use lvs_agent::{
    guard::leases::LeaseEvent,
    model::{Fitness, NodeId},
    vip::LeaseTiming,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// After healing, somebody holds within so many ttl: quiet voters, stragglers, an adopted membership that lapses.
const HOLDER_WITHIN_TTLS: u64 = 7;
/// …and within so many where the kernel may have refused the VIP: holders back off then.
const HOLDER_WITHIN_TTLS_AFTER_FAILURES: u64 = 14;

/// What a seed showed.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Events handled.
    pub steps: u64,
    /// Addresses that came to an interface during chaos.
    pub installs: u64,
    /// Membership entries of the longest log at the end.
    pub log_entries: u64,
    /// Revisions of the rules.
    pub revisions: u64,
    /// From healing to holders of all addresses; at least two ttl, which Raft takes to come to rest.
    pub healed: Nanos,
    /// From the holder's power-off to the next installation.
    pub takeover: Option<Nanos>,
    /// From the holder's being told to let go to the next installation.
    pub handover: Option<Nanos>,
}

/// Why a seed failed.
#[derive(Clone, Debug)]
pub enum Failure {
    /// Safety.
    Unsafe(Violated),
    /// Liveness: nobody held in time, while waiting for what is named.
    NoHolder(&'static str),
}

/// Runs one seed.
pub fn run_seed(seed: u64, options: Options) -> Result<Findings, Failure> {
    run_world(&mut random_world(seed, options))
}

/// Chaos, healing, measuring.
pub fn run_world(world: &mut World) -> Result<Findings, Failure> {
    let options = world.options;
    chaos(world)?;
    let installs = world.takeovers.len() as u64;
    let mut findings = Findings { installs, ..Findings::default() };
    let healing_began = world.now;
    heal(world);
    let bound = if options.kernel_failures { HOLDER_WITHIN_TTLS_AFTER_FAILURES } else { HOLDER_WITHIN_TTLS };
    all_held(world, None, bound, "a holder after healing")?;
    findings.healed = world.now - healing_began;
    findings.takeover = measure_takeover(world)?;
    findings.handover = measure_handover(world)?;
    findings.steps = world.steps;
    findings.revisions = world.rules.newest() as u64;
    findings.log_entries = (0..world.nodes.len()).map(|node| world.log.len(node) as u64).max().unwrap_or(0);
    Ok(findings)
}

/// Only the chaos, for the search for violations; gives the world back.
pub fn run_chaos(seed: u64, options: Options) -> Result<u64, Violated> {
    let mut world = random_world(seed, options);
    match chaos(&mut world) {
        Err(Failure::Unsafe(found)) => Err(found),
        Err(Failure::NoHolder(_)) | Ok(()) => Ok(world.steps),
    }
}

/// The cluster that a seed makes.
pub fn random_world(seed: u64, options: Options) -> World {
    let mut dice = Dice::new(seed);
    let count = dice.between(3, 6) as usize;
    let voters: BTreeSet<NodeId> = (0..dice.between(3, 5).min(count as u64)).map(NodeId).collect();
    let groups = some_groups(count, &mut dice);
    let liar = dice.below(voters.len() as u64) as usize;
    let mut world = World::new(count, vec![voters], groups, options, dice);
    world.liar = options.lying_voter.then_some(liar);
    // Six addresses take longer then than the reserve that a lease has without measuring.
    let pace = if world.dice.chance(300) { TTL / 75 } else { 0 };
    world.nodes.iter_mut().for_each(|node| node.kernel.pace = pace);
    world
}

fn chaos(world: &mut World) -> Result<(), Failure> {
    let end = world.now + world.options.chaos_ttls * TTL;
    let between_mishaps = world.dice.pick(&[TTL / 8, TTL / 3, TTL, 3 * TTL]).unwrap_or(TTL);
    let between_raft = world.dice.pick(&[TTL / 40, TTL / 10, TTL / 3]).unwrap_or(TTL);
    world.elections = world.dice.pick(&[0, 1, 5]).unwrap_or(1);
    if world.dice.chance(500) {
        world.network.late();
    }
    let (mut mishap, mut raft) = (2 * TTL, TTL);
    while world.now < end {
        world.run_until(mishap.min(raft));
        safe(world)?;
        if world.now >= mishap {
            world.mishap();
            mishap += world.dice.below(2 * between_mishaps) + 1;
        }
        if world.now >= raft {
            if world.options.changes {
                world.raft_work();
            }
            raft += world.dice.below(2 * between_raft) + 1;
        }
    }
    safe(world)
}

fn safe(world: &World) -> Result<(), Failure> {
    world.violation.clone().map_or(Ok(()), |found| Err(Failure::Unsafe(found)))
}

/// Everything works again, and Raft has come to rest.
fn heal(world: &mut World) {
    world.network = Network::calm();
    world.deaf.clear();
    world.options.kernel_failures = false;
    let nodes = world.nodes.len();
    for node in 0..nodes {
        world.resume(node);
        if world.nodes[node].guard.as_ref().is_some_and(|guard| guard.stopping) {
            world.crash(node, false);
        }
        world.start_guard(node);
        if let Some(guard) = world.nodes[node].guard.as_mut() {
            guard.leases.set_timing(LeaseTiming::of(Duration::from_nanos(TTL)));
        }
    }
    // All workers are up after half a ttl, and whoever was letting go has done so.
    world.run_until(world.now + TTL);
    for node in (0..nodes).filter(|node| !world.nodes[*node].worker).collect::<Vec<_>>() {
        world.kill_worker(node, 0);
    }
    world.run_until(world.now + TTL);
    settle_raft(world);
    if world.rules.addresses().is_empty() {
        let first = world.rules.at(0).to_vec();
        world.apply_rules(first);
    }
    for node in 0..nodes {
        world.nodes[node].revision = world.rules.newest();
        let groups = world.rules.at(world.rules.newest()).to_vec();
        let well = LeaseEvent::Fitness(BTreeMap::new());
        for input in [LeaseEvent::Return, LeaseEvent::Groups(groups), LeaseEvent::Ready(true), well, LeaseEvent::Tended(true)] {
            world.input(node, input);
        }
    }
}

fn settle_raft(world: &mut World) {
    let nodes = world.nodes.len();
    let everyone: Vec<usize> = (0..nodes).filter(|node| world.nodes[*node].has_worker()).collect();
    // A node without the latest log loses the election but passes its term on, so that somebody wins in the end.
    let mut turns = everyone.iter().cycle().take(10 * nodes).copied();
    let Some(leader) = turns.find(|node| world.election_among(*node, &everyone)) else {
        return;
    };
    for _ in 0..3 {
        let joint = world.log.effective(leader).voters;
        if let [_, target] = &joint[..] {
            world.propose(leader, target);
        }
        for follower in 0..nodes {
            world.replicate(leader, follower, world.log.len(leader));
        }
    }
}

/// Waits until every address is held by a node other than `not_on`; says how long that took.
fn all_held(world: &mut World, not_on: Option<usize>, ttls: u64, what: &'static str) -> Result<Nanos, Failure> {
    let start = world.now;
    let addresses = world.rules.addresses();
    while world.now < start + ttls * TTL {
        world.run_until(world.now + TTL / 1000);
        safe(world)?;
        if addresses.iter().all(|address| world.holders_of(*address).iter().any(|holder| Some(*holder) != not_on)) {
            return Ok(world.now - start);
        }
    }
    Err(Failure::NoHolder(what))
}

fn measure_takeover(world: &mut World) -> Result<Option<Nanos>, Failure> {
    let Some(holder) = settled_holder(world)? else { return Ok(None) };
    // With one of three voters dead, nobody is granted anything without the one that lies.
    world.liar = None;
    world.crash(holder, true);
    let took = match all_held(world, Some(holder), 1, "") {
        Err(Failure::NoHolder(_)) => {
            // What one of the others alone knows of the membership, they know from Raft by now.
            settle_raft(world);
            TTL + all_held(world, Some(holder), 2, "a holder after the holder's crash")?
        }
        taken => taken?,
    };
    world.after(TTL, Event::Start(holder));
    Ok(Some(took))
}

fn measure_handover(world: &mut World) -> Result<Option<Nanos>, Failure> {
    let Some(holder) = settled_holder(world)? else { return Ok(None) };
    let names = world.rules.at(world.rules.newest()).iter().map(|order| (order.group.name.clone(), Fitness(300)));
    let unfit = LeaseEvent::Fitness(names.collect());
    let unfit = if world.dice.chance(500) { LeaseEvent::Ready(false) } else { unfit };
    world.input(holder, unfit);
    all_held(world, Some(holder), 3, "a holder after a hand-over").map(Some)
}

/// A holder, at a random moment when everyone has been up for a while.
fn settled_holder(world: &mut World) -> Result<Option<usize>, Failure> {
    let rest = 13 * TTL + world.dice.below(TTL);
    world.run_until(world.now + rest);
    safe(world)?;
    Ok(world.holders().first().copied())
}
