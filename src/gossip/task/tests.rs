//! Nodes on loopback that gossip for real.

mod lies;
mod post;

use super::*;
use crate::{
    gossip::Facts,
    model::{KeyId, Roles, Secret},
    rules::{Target, security::KeyRing},
    verdict::{Finding, Observation},
};
use crate::{link::node_key::NodeKey, model::NodeId};
use std::{net::UdpSocket, sync::Mutex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Longest that a test waits for news: far longer than they take, for machines that are busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn free_addr() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn word(addr: SocketAddr, revision: u64) -> NodeState {
    let roles = Roles::new([Role::Director]).unwrap();
    let facts = Facts {
        roles,
        addr,
        version: "0.1.0".to_owned(),
        kernel: Vec::new(),
        holds: crate::gossip::KeyInventory::default(),
        withdrawn: false,
    };
    NodeState {
        facts,
        observations: BTreeMap::new(),
        in_place: BTreeMap::new(),
        holding: BTreeMap::new(),
        obstacles: BTreeMap::new(),
        less_fit: BTreeMap::new(),
        network: None,
        revision,
        informed: false,
    }
}

fn target(server: &str) -> Target {
    Target { service: "web".parse().unwrap(), server: server.parse().unwrap() }
}

fn seen(seen: Finding, since_unix_ms: u64) -> Observation {
    Observation { seen, reason: "connection refused".to_owned(), since_unix_ms, fingerprint: 1 }
}

/// A node's key, the same at each of its starts; its number is its name's last letter or digit.
fn key_of(name: &str) -> (NodeId, Arc<NodeKey>) {
    static KEYS: Mutex<BTreeMap<String, Arc<NodeKey>>> = Mutex::new(BTreeMap::new());
    let key = KEYS.lock().unwrap().entry(name.to_owned()).or_insert_with(|| Arc::new(NodeKey::generate())).clone();
    (NodeId(name.bytes().last().unwrap().into()), key)
}

fn keyring() -> KeyRing {
    let keys = [(KeyId(1), Secret::new([7; 32]))].into();
    KeyRing { primary: Some(KeyId(1)), keys, ..KeyRing::default() }
}

/// The members of the cluster.
fn speakers(nodes: &[(&str, SocketAddr)]) -> PeerKeys {
    let mut speakers = PeerKeys { keyring: keyring(), ..PeerKeys::default() };
    for (name, addr) in nodes {
        let (id, key) = key_of(name);
        speakers.members.insert(id, (*addr, key.public()));
        speakers.names.insert(name.parse().unwrap(), id);
    }
    speakers
}

fn settings(name: &str, cluster: &str, listen: SocketAddr, generation: u64, interval: Duration) -> GossipSettings {
    let (id, key) = key_of(name);
    GossipSettings { node: name.parse().unwrap(), id, cluster_id: cluster.to_owned(), listen, interval, generation, key }
}

struct Node {
    name: NodeName,
    word: watch::Sender<Arc<NodeState>>,
    seeds: watch::Sender<BTreeSet<SocketAddr>>,
    speakers: watch::Sender<Arc<PeerKeys>>,
    view: watch::Receiver<Arc<ClusterView>>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), GossipError>>,
}

const INTERVAL: Duration = Duration::from_millis(50);

impl Node {
    fn start(settings: GossipSettings, seeds: &[SocketAddr], speakers: PeerKeys) -> Self {
        let (name, mailbox) = (settings.node.clone(), post::mailbox(&settings, &speakers));
        let (seeds, seeds_rx) = watch::channel(seeds.iter().copied().collect());
        let (speakers, speakers_rx) = watch::channel(Arc::new(speakers));
        let (word, word_rx) = watch::channel(Arc::new(word(settings.listen, settings.generation)));
        let (view_tx, view) = watch::channel(Arc::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(settings, seeds_rx, speakers_rx, word_rx, view_tx, mailbox, shutdown.clone()));
        Self { name, word, seeds, speakers, view, shutdown, task }
    }

    fn hears(&self, speakers: PeerKeys) {
        self.speakers.send_replace(Arc::new(speakers));
    }

    fn say(&self, change: impl FnOnce(&mut NodeState)) {
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
    let members: Vec<_> = ["a", "b", "c"].into_iter().zip(addrs).collect();
    let start = |(name, addr): &(&str, SocketAddr)| {
        Node::start(settings(name, "blue", *addr, 1, INTERVAL), &addrs[..1], speakers(&members))
    };
    let mut nodes: Vec<Node> = members.iter().map(start).collect();
    for node in &mut nodes {
        node.sees("all three", |view| live("a b c")(view) && view.nodes.values().all(|node| node.facts.is_some())).await;
    }
    nodes[2].say(|word| {
        word.observations.insert(target("r1"), seen(Finding::Down, 7));
        word.in_place.insert("front".parse().unwrap(), Err("no address".to_owned()));
    });
    let c: NodeName = "c".parse().unwrap();
    for node in &mut nodes {
        let said = |view: &ClusterView| {
            view.nodes[&c].observations.get(&target("r1")) == Some(&seen(Finding::Down, 7)) && view.nodes[&c].in_place.len() == 1
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
    let members = speakers(&[("a", one), ("b", two)]);
    let mut a = Node::start(settings("a", "blue", one, 1, INTERVAL), &[], members.clone());
    let b = Node::start(settings("b", "blue", two, 5, INTERVAL), &[one], members.clone());
    a.sees("b", |view| live("a b")(view) && revision(view, "b") == Some(5)).await;
    b.kill();
    a.sees("b's death", live("a")).await;
    assert_eq!(revision(&a.view.borrow(), "b"), Some(5));
    // It knows nobody; a knocks at its seeds.
    let mut b = Node::start(settings("b", "blue", two, 6, INTERVAL), &[], members);
    a.seeds.send_replace([one, two].into());
    a.sees("b again", |view| live("a b")(view) && revision(view, "b") == Some(6)).await;
    b.sees("a", live("a b")).await;
}

#[tokio::test]
async fn a_node_that_stops_says_so_before_it_is_silent() {
    let (one, two) = (free_addr(), free_addr());
    // The peer is bare chitchat, so that what is seen is the goodbye and not the silence after it.
    let members = speakers(&[("a", one), ("b", two)]);
    let peer = settings("a", "blue", one, 1, INTERVAL);
    let seal = Seal::new(Kind::Gossip, "blue", peer.id, 1, peer.key.clone());
    seal.update(&members.keyring, &members.members);
    let mut validation = Validation::new(own_id(&peer), "blue".to_owned(), kept(&peer));
    validation.update(&members);
    let peer = spawn_chitchat(config(&peer), Vec::new(), &SealedUdp::new(seal, validation, INTERVAL)).await.unwrap();
    let goodbye = Arc::new(Notify::new());
    let told = goodbye.clone();
    peer.with_chitchat(|chitchat| {
        let told = told.clone();
        chitchat.subscribe_event(keys::BYE, move |_| told.notify_one()).forever();
    })
    .await;
    // The bare peer has no signed word, so what b sees of it is nothing.
    let mut b = Node::start(settings("b", "blue", two, 1, INTERVAL), &[one], members);
    b.sees("itself", live("b")).await;
    let b_id = ChitchatId::new("b", 1, two);
    timeout(PATIENCE, async {
        while peer.with_chitchat(|chitchat| chitchat.node_state(&b_id).is_none()).await {
            tokio::time::sleep(INTERVAL).await;
        }
    })
    .await
    .unwrap();
    b.shutdown.cancel();
    b.task.await.unwrap().unwrap();
    timeout(PATIENCE, goodbye.notified()).await.unwrap();
}

#[tokio::test]
async fn another_cluster_is_not_heard() {
    let addrs = [free_addr(), free_addr(), free_addr()];
    // The stranger has the same key ring, and is registered where it should not be.
    let members = speakers(&[("a", addrs[0]), ("x", addrs[1]), ("c", addrs[2])]);
    let mut a = Node::start(settings("a", "blue", addrs[0], 1, INTERVAL), &addrs, members.clone());
    let mut x = Node::start(settings("x", "green", addrs[1], 1, INTERVAL), &addrs, members.clone());
    let mut c = Node::start(settings("c", "blue", addrs[2], 1, INTERVAL), &addrs, members);
    a.sees("c", live("a c")).await;
    c.sees("a", live("a c")).await;
    // Both knocked at the stranger, and the stranger at them, for several turns.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(live("x")(&x.view.borrow_and_update()) && x.view.borrow().nodes.len() == 1);
    assert!(live("a c")(&a.view.borrow()) && a.view.borrow().nodes.len() == 2);
}

#[tokio::test]
async fn a_member_is_heard_when_it_becomes_one_and_forgotten_when_it_is_none_any_more() {
    let addrs = [free_addr(), free_addr(), free_addr()];
    let [a, b, c] = [("a", addrs[0]), ("b", addrs[1]), ("c", addrs[2])];
    let start = |(name, addr): (&str, SocketAddr), members| {
        Node::start(settings(name, "blue", addr, 1, INTERVAL), &addrs, speakers(members))
    };
    let (mut one, mut two, mut three) = (start(a, &[a, b]), start(b, &[a, b]), start(c, &[a, b, c]));
    one.sees("b", live("a b")).await;
    for node in [&one, &two] {
        node.hears(speakers(&[a, b, c]));
    }
    for node in [&mut one, &mut two, &mut three] {
        node.sees("all three", live("a b c")).await;
    }
    for node in [&one, &two] {
        node.hears(speakers(&[a, b]));
    }
    for node in [&mut one, &mut two] {
        node.sees("that c is forgotten", |view| live("a b")(view) && view.nodes.len() == 2).await;
    }
    // The former member goes on talking, to no effect, and hears of nobody any more.
    three.say(|word| word.revision = 99);
    three.sees("nobody", live("c")).await;
    assert!(one.view.borrow().nodes.len() == 2 && two.view.borrow().nodes.len() == 2);
}

#[tokio::test]
async fn a_rotation_of_the_key_silences_nobody() {
    let addrs = [free_addr(), free_addr()];
    let members = [("a", addrs[0]), ("b", addrs[1])];
    let start =
        |(name, addr): &(&str, SocketAddr)| Node::start(settings(name, "blue", *addr, 1, INTERVAL), &addrs, speakers(&members));
    let mut nodes: Vec<Node> = members.iter().map(start).collect();
    for node in &mut nodes {
        node.sees("both", live("a b")).await;
    }
    let secret = |id: u16| (KeyId(id), Secret::new([u8::try_from(id).unwrap(); 32]));
    let first = keyring().keys[&KeyId(1)].clone();
    let both: BTreeMap<_, _> = [(KeyId(1), first), secret(2)].into();
    let rings = [(1, both.clone()), (2, both), (2, [secret(2)].into())];
    for (round, (primary, keys)) in (2..).zip(rings) {
        for turn in [0, 1] {
            let ring = KeyRing { primary: Some(KeyId(primary)), keys: keys.clone(), ..KeyRing::default() };
            nodes[turn].hears(PeerKeys { keyring: ring, ..speakers(&members) });
            nodes[turn].say(|word| word.revision = round);
            let (told, teller) = (1 - turn, ["a", "b"][turn]);
            nodes[told].sees("the word of that turn", |view| revision(view, teller) == Some(round)).await;
            assert!(live("a b")(&nodes[told].view.borrow()));
        }
    }
}

/// A member that passes on what others say: here it changes it, and says more in their names.
#[tokio::test]
async fn what_a_member_says_in_the_name_of_another_is_not_taken() {
    let (one, two, liar_at) = (free_addr(), free_addr(), free_addr());
    let members = speakers(&[("a", one), ("b", two), ("z", liar_at)]);
    let mut a = Node::start(settings("a", "blue", one, 1, INTERVAL), &[two, liar_at], members.clone());
    let mut b = Node::start(settings("b", "blue", two, 1, INTERVAL), &[one, liar_at], members.clone());
    a.sees("b", live("a b")).await;
    b.sees("a", live("a b")).await;
    // In b's name and start, with the member's own signature.
    let mut liar = settings("z", "blue", liar_at, 1, INTERVAL);
    let seal = Seal::new(Kind::Gossip, "blue", liar.id, 1, liar.key.clone());
    seal.update(&members.keyring, &members.members);
    (liar.node, liar.generation) = ("b".parse().unwrap(), 2);
    let mut validation = Validation::new(own_id(&liar), "blue".to_owned(), kept(&liar));
    validation.update(&members);
    let chitchat = spawn_chitchat(config(&liar), Vec::new(), &SealedUdp::new(seal, validation, INTERVAL)).await.unwrap();
    let origin = Origin { cluster_id: "blue", node: key_of("b").0, generation: 2 };
    let (lies, _) = keys::entries(&word(liar_at, 66));
    chitchat.with_chitchat(|chitchat| LocalState::default().say(chitchat, &liar.key, origin, lies.clone())).await;
    let forged = ChitchatId::new("b", 2, liar_at);
    for to in [one, two] {
        chitchat.gossip(to).unwrap();
    }
    // It is heard of, and nothing comes of it, for several turns.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(chitchat.with_chitchat(|chitchat| chitchat.node_states().len()).await > 1, "it does gossip as {forged:?}");
    assert_eq!(revision(&a.view.borrow(), "b"), Some(1));
    assert_eq!(revision(&b.view.borrow(), "b"), Some(1));
    assert!(live("a b")(&a.view.borrow()));
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error =
        Node::start(settings("a", "blue", listen, 1, INTERVAL), &[], PeerKeys::default()).task.await.unwrap().unwrap_err();
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
    let members: Vec<_> = ["n0", "n1", "n2", "n3", "n4"].into_iter().zip(addrs.iter().copied()).collect();
    let start = |(name, addr): &(&str, SocketAddr)| {
        Node::start(settings(name, "blue", *addr, 1, interval), &addrs[..1], speakers(&members))
    };
    let mut nodes: Vec<Node> = members.iter().map(start).collect();
    for node in &mut nodes {
        node.sees("all", live("n0 n1 n2 n3 n4")).await;
    }
    let (first, others) = nodes.split_first_mut().unwrap();
    let mut took = Vec::new();
    for round in 0..100_u64 {
        let start = Instant::now();
        first.say(|word| {
            word.observations.insert(target("r1"), seen(Finding::Up, round));
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
