//! Nodes on loopback that gossip for real.

use super::*;
use crate::{
    gossip::Facts,
    model::Roles,
    rules::Target,
    verdict::{Observation, Seen},
};
use std::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longest that a test waits for news: far longer than they take, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn free_addr() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn word(addr: SocketAddr, revision: u64) -> Word {
    let roles = Roles::new([Role::Director]).unwrap();
    let facts = Facts { roles, addr, version: "0.1.0".to_owned(), kernel: Vec::new(), holds: crate::gossip::Holds::default() };
    Word { facts, observations: BTreeMap::new(), in_place: BTreeMap::new(), holding: BTreeMap::new(), revision }
}

fn target(server: &str) -> Target {
    Target { service: "web".parse().unwrap(), server: server.parse().unwrap() }
}

fn seen(seen: Seen, since_unix_ms: u64) -> Observation {
    Observation { seen, reason: "connection refused".to_owned(), since_unix_ms, question: 1 }
}

struct Node {
    name: NodeName,
    word: watch::Sender<Arc<Word>>,
    seeds: watch::Sender<BTreeSet<SocketAddr>>,
    view: watch::Receiver<Arc<ClusterView>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), GossipError>>,
}

impl Node {
    fn start(name: &str, cluster: &str, listen: SocketAddr, seeds: &[SocketAddr], generation: u64) -> Self {
        let name: NodeName = name.parse().unwrap();
        Self::start_at(name, cluster, listen, seeds, generation, Duration::from_millis(50))
    }

    fn start_at(
        name: NodeName,
        cluster: &str,
        listen: SocketAddr,
        seeds: &[SocketAddr],
        generation: u64,
        interval: Duration,
    ) -> Self {
        let settings =
            GossipSettings { node: name.clone(), id: NodeId(1), cluster_id: cluster.to_owned(), listen, interval, generation };
        let (seeds, seeds_rx) = watch::channel(seeds.iter().copied().collect());
        let (word, word_rx) = watch::channel(Arc::new(word(listen, generation)));
        let (view_tx, view) = watch::channel(Arc::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(settings, seeds_rx, word_rx, view_tx, shutdown.clone()));
        Self { name, word, seeds, view, shutdown, task }
    }

    fn say(&self, change: impl FnOnce(&mut Word)) {
        self.word.send_modify(|word| change(Arc::make_mut(word)));
    }

    async fn sees(&mut self, what: &str, expected: impl Fn(&ClusterView) -> bool) {
        let waited = timeout(PATIENCE, self.view.wait_for(|view| expected(view))).await.map(|view| view.is_ok());
        assert_eq!(waited, Ok(true), "{} never saw {what}: {:?}", self.name, self.view.borrow());
    }

    /// Ends it as a power cut does.
    fn kill(self) {
        self.task.abort();
    }
}

fn live(names: &str) -> impl Fn(&ClusterView) -> bool {
    let expected: BTreeSet<NodeName> = names.split_whitespace().map(|name| name.parse().unwrap()).collect();
    move |view| view.live() == expected
}

fn revision(view: &ClusterView, node: &str) -> Option<u64> {
    view.nodes.get(&node.parse::<NodeName>().unwrap()).map(|view| view.revision)
}

#[tokio::test]
async fn three_nodes_that_know_one_seed_hear_each_other_and_each_change() {
    let addrs = [free_addr(), free_addr(), free_addr()];
    let mut nodes: Vec<Node> =
        ["a", "b", "c"].iter().zip(addrs).map(|(name, addr)| Node::start(name, "blue", addr, &addrs[..1], 1)).collect();
    for node in &mut nodes {
        node.sees("all three", |view| live("a b c")(view) && view.nodes.values().all(|node| node.facts.is_some())).await;
    }
    nodes[2].say(|word| {
        word.observations.insert(target("r1"), seen(Seen::Down, 7));
        word.in_place.insert("front".parse().unwrap(), Err("no address".to_owned()));
    });
    let c: NodeName = "c".parse().unwrap();
    for node in &mut nodes {
        let said = |view: &ClusterView| {
            view.nodes[&c].observations.get(&target("r1")) == Some(&seen(Seen::Down, 7)) && view.nodes[&c].in_place.len() == 1
        };
        node.sees("c's observation", said).await;
    }
    nodes[2].say(|word| word.observations.clear());
    for node in &mut nodes {
        node.sees("that c's observation is gone", |view| view.nodes[&c].observations.is_empty()).await;
    }
}

#[tokio::test]
async fn a_dead_node_keeps_its_last_word_and_returns_as_a_new_one() {
    let (one, two) = (free_addr(), free_addr());
    let mut a = Node::start("a", "blue", one, &[], 1);
    let b = Node::start("b", "blue", two, &[one], 5);
    a.sees("b", |view| live("a b")(view) && revision(view, "b") == Some(5)).await;
    b.kill();
    a.sees("b's death", live("a")).await;
    assert_eq!(revision(&a.view.borrow(), "b"), Some(5));
    // It knows nobody; a knocks at its seeds.
    let mut b = Node::start("b", "blue", two, &[], 6);
    a.seeds.send_replace([one, two].into());
    a.sees("b again", |view| live("a b")(view) && revision(view, "b") == Some(6)).await;
    b.sees("a", live("a b")).await;
}

#[tokio::test]
async fn a_node_that_stops_says_so_before_it_is_silent() {
    let (one, two) = (free_addr(), free_addr());
    // The peer is bare chitchat, so that what is seen is the goodbye and not the silence after it.
    let peer = GossipSettings {
        node: "a".parse().unwrap(),
        id: NodeId(2),
        cluster_id: "blue".to_owned(),
        listen: one,
        interval: Duration::from_millis(50),
        generation: 1,
    };
    let peer = spawn_chitchat(config(&peer), Vec::new(), &SealedUdp::new(Seal::new("blue", NodeId(2), 1))).await.unwrap();
    let goodbye = Arc::new(Notify::new());
    let told = goodbye.clone();
    peer.with_chitchat(|chitchat| {
        let told = told.clone();
        chitchat.subscribe_event(keys::BYE, move |_| told.notify_one()).forever();
    })
    .await;
    let mut b = Node::start("b", "blue", two, &[one], 1);
    b.sees("a", live("a b")).await;
    b.shutdown.cancel();
    b.task.await.unwrap().unwrap();
    timeout(PATIENCE, goodbye.notified()).await.unwrap();
}

#[tokio::test]
async fn another_cluster_is_not_heard() {
    let addrs = [free_addr(), free_addr(), free_addr()];
    let mut a = Node::start("a", "blue", addrs[0], &addrs, 1);
    let mut x = Node::start("x", "green", addrs[1], &addrs, 1);
    let mut c = Node::start("c", "blue", addrs[2], &addrs, 1);
    a.sees("c", live("a c")).await;
    c.sees("a", live("a c")).await;
    // Both knocked at the stranger, and the stranger at them, for several turns.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(live("x")(&x.view.borrow_and_update()) && x.view.borrow().nodes.len() == 1);
    assert!(live("a c")(&a.view.borrow()) && a.view.borrow().nodes.len() == 2);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = Node::start("a", "blue", listen, &[], 1).task.await.unwrap().unwrap_err();
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

#[test]
fn directors_hear_first_and_the_others_take_turns() {
    let addr = |i: u8| SocketAddr::from(([10, 0, 0, i], 7400));
    let peers: BTreeMap<SocketAddr, bool> = (1..=20).map(|i| (addr(i), i > 18)).collect();
    let mut told = BTreeSet::new();
    for turn in 0..18 {
        let hearers = first_hearers(&peers, turn);
        assert_eq!(hearers.len(), FIRST_HEARERS);
        assert_eq!(hearers[..2].iter().collect::<BTreeSet<_>>(), [addr(19), addr(20)].iter().collect());
        told.extend(hearers);
    }
    assert_eq!(told.len(), 20);
    assert_eq!(first_hearers(&BTreeMap::new(), 3), []);
}

/// Not a check but a measurement: `cargo test --release --lib gossip::task -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn how_long_a_change_travels() {
    for interval_ms in [50, 100, 500] {
        measure(Duration::from_millis(interval_ms)).await;
    }
}

async fn measure(interval: Duration) {
    let addrs: Vec<SocketAddr> = (0..5).map(|_| free_addr()).collect();
    let start = |(i, addr): (usize, &SocketAddr)| {
        Node::start_at(format!("n{i}").parse().unwrap(), "blue", *addr, &addrs[..1], 1, interval)
    };
    let mut nodes: Vec<Node> = addrs.iter().enumerate().map(start).collect();
    for node in &mut nodes {
        node.sees("all", live("n0 n1 n2 n3 n4")).await;
    }
    let (first, others) = nodes.split_first_mut().unwrap();
    let mut took = Vec::new();
    for round in 0..100_u64 {
        let start = Instant::now();
        first.say(|word| {
            word.observations.insert(target("r1"), seen(Seen::Up, round));
        });
        let waits = others.iter_mut().map(|node| async {
            let told = |view: &ClusterView| {
                let view = &view.nodes[&"n0".parse::<NodeName>().unwrap()];
                view.observations.get(&target("r1")).is_some_and(|seen| seen.since_unix_ms == round)
            };
            node.sees("the change", told).await;
            start.elapsed()
        });
        took.extend(futures_util::future::join_all(waits).await);
        tokio::time::sleep(Duration::from_millis(20 + round * 7 % 50)).await;
    }
    took.sort();
    println!(
        "interval {interval:?}: change to each peer: p50 {:?} p99 {:?} max {:?}",
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took[took.len() - 1]
    );
    let start = Instant::now();
    nodes.pop().unwrap().kill();
    for node in &mut nodes {
        node.sees("the death", live("n0 n1 n2 n3")).await;
    }
    println!("death seen by all after {:?}", start.elapsed());
}
