//! What a renewal costs in `Leases` alone, without kernel and network: allocations, and with `--release` time. One director holds all groups, two others vote.

use lvs_agent::{
    clock::BootInstant,
    guard::{
        effect::Effect,
        leases::{LeaseEvent, Leases, Moment},
        protocol::GroupOrder,
    },
    kernel::fence::Packets,
    model::{NodeId, OnQuorumLoss, TimingProfile, VipGroup},
    vip::{LeaseMembership, LeaseMessage, MembershipId},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const HOLDER: NodeId = NodeId(1);
const NODES: [NodeId; 3] = [HOLDER, NodeId(2), NodeId(3)];
const RENEWAL: Duration = Duration::from_millis(75);

struct Guards {
    now: Duration,
    leases: BTreeMap<NodeId, Leases>,
    installs: u64,
}

impl Guards {
    fn with_groups(groups: usize) -> Self {
        let now = Duration::from_secs(1000);
        let started = BootInstant::from_boot(Duration::ZERO);
        let leases = NODES.map(|id| (id, Leases::new(id, TimingProfile::Lan, started, id.0 << 32)));
        let mut guards = Self { now, leases: leases.into(), installs: 0 };
        let addresses = NODES.map(|id| (id, address(id))).into();
        let id = MembershipId { term: 1, leader: HOLDER, index: 1 };
        let membership = LeaseMembership { id, voters: vec![NODES.into()], addresses };
        let orders: Vec<GroupOrder> = (0..groups).map(order).collect();
        for id in NODES {
            guards.event(id, LeaseEvent::Membership(membership.clone()));
            guards.event(id, LeaseEvent::Groups(orders.clone()));
            guards.event(id, LeaseEvent::Ready(true));
        }
        for _ in 0..20 {
            guards.renew();
        }
        guards
    }

    /// Time goes on to the next renewal.
    fn renew(&mut self) {
        self.now += RENEWAL;
        self.event(HOLDER, LeaseEvent::Tick);
    }

    /// What follows from it at once. Messages for the same guard that follow each other come in one datagram.
    fn event(&mut self, node: NodeId, event: LeaseEvent) {
        let mut events: VecDeque<(NodeId, LeaseEvent)> = [(node, event)].into();
        while let Some((node, event)) = events.pop_front() {
            let at = Moment { now: BootInstant::from_boot(self.now), unix: self.now };
            let effects = self.leases.get_mut(&node).expect("it is one of three").step(event, at);
            let mut sent: Vec<(NodeId, Vec<LeaseMessage>)> = Vec::new();
            for effect in effects {
                match effect {
                    Effect::Send { to, message } => match sent.iter_mut().find(|(receiver, _)| address(*receiver) == to) {
                        Some((_, messages)) => messages.push(message),
                        None => sent.push((
                            NODES.into_iter().find(|node| address(*node) == to).expect("it is one of three"),
                            vec![message],
                        )),
                    },
                    Effect::Install { group, .. } => {
                        self.installs += 1;
                        let lasts = at.now + Duration::from_secs(3600);
                        events.push_back((node, LeaseEvent::Installed { group, lasts, left: Default::default() }));
                    }
                    Effect::Remove { group, .. } => events.push_back((node, LeaseEvent::Removed(group))),
                    Effect::Extend { .. } | Effect::Announce { .. } | Effect::Probe { .. } => (),
                }
            }
            let from = (node, address(node));
            let heard = |(to, messages)| (to, LeaseEvent::Heard { from: from.0, source: from.1, messages });
            events.extend(sent.into_iter().map(heard));
        }
    }
}

fn address(node: NodeId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(node.0).expect("there are three")], 7401))
}

fn order(group: usize) -> GroupOrder {
    let addresses = (1..=4).map(|n| format!("10.1.{group}.{n}").parse().expect("it is an address")).collect();
    let name = format!("g{group}").parse().expect("it is a name");
    let group = VipGroup { name, addresses, interface: "eth0".to_owned(), on_quorum_loss: OnQuorumLoss::Fallback };
    GroupOrder { group, candidates: vec![HOLDER], packets: Packets::Linger }
}

#[test]
fn a_renewal_allocates_little_however_many_groups_there_are() {
    for groups in [1_u32, 20, 200] {
        let mut guards = Guards::with_groups(groups as usize);
        assert_eq!(guards.installs, u64::from(groups), "all are held, and none is put on again");
        let (before, begun) =
            (ALLOCATIONS.load(Ordering::Relaxed), rustix::time::clock_gettime(rustix::time::ClockId::Monotonic));
        const RENEWALS: u32 = 40;
        for _ in 0..RENEWALS {
            guards.renew();
        }
        let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) as f64 / f64::from(RENEWALS * groups);
        let ended = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanos = (ended.tv_sec - begun.tv_sec) * 1_000_000_000 + (ended.tv_nsec - begun.tv_nsec);
        let us = nanos as f64 / 1000.0 / f64::from(RENEWALS * groups);
        println!(
            "{groups} groups: {allocations:.1} allocations and {us:.2} us for each renewal of a group, on all three nodes together"
        );
        assert_eq!(guards.installs, u64::from(groups));
        // Of one group alone each message is a step of its own.
        assert!(
            allocations < if groups == 1 { 40.0 } else { 20.0 },
            "{groups} groups: {allocations:.1} allocations for each renewal"
        );
    }
}
