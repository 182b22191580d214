//! Messages that are not only parsed: two nodes that gossip, and a third that says what it likes to one of them.
//!
//! What is promised: neither node's chitchat ends; what each of them says is its own again after the next upkeep, and the other has it after a few rounds.

use super::{Outcome, Target, refused, sample};
use crate::{
    clock::BootInstant,
    gossip::{
        local_state::LocalState,
        node_state::Origin,
        validation::{Validation, Voice, hear_anew},
        wire::craft,
    },
    link::node_key::NodeKey,
    model::NodeId,
    rules::security::PeerKeys,
};
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, ChitchatMessage, FailureDetectorConfig, Serializable, spawn_chitchat,
    transport::{Socket, Transport},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

const CLUSTER: &str = "blue";
const NAMES: [&str; 3] = ["me", "a", "z"];
const ME: usize = 0;
const A: usize = 1;
const LIAR: usize = 2;
/// Messages of one input; there is room for all of them in a socket's queue.
const MAX_MESSAGES: usize = 32;
/// Rounds in which a word is whole again. The first tells who is ahead, the second hears it said again.
const ROUNDS: usize = 4;

pub fn targets() -> Vec<Target> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread can wait");
    let key = NodeKey::generate();
    let apply = move |bytes: &[u8]| runtime.block_on(told(bytes, &key));
    let mut applied = Target::new("gossip-applied", seeds(), 1 << 16, apply);
    applied.memory = (400, 16 << 20);
    vec![applied]
}

fn id(node: usize) -> ChitchatId {
    ChitchatId::new(NAMES[node], 1, sample::addr(node as u8 + 1))
}

fn number(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

/// Everything happens in one second.
fn voice(node: usize) -> Voice {
    Voice { node: number(node), session: 1, now: BootInstant::from_boot(Duration::from_secs(9)) }
}

/// The liar's messages to `me`, each with its length, in the order in which they come.
async fn told(bytes: &[u8], key: &NodeKey) -> Outcome {
    let (mut me, mut a) = (Node::start(ME).await, Node::start(A).await);
    me.say("7", key).await;
    a.say("7", key).await;
    exchange(&mut me, &mut a).await;
    let mut answers = Vec::new();
    let (mut rest, mut messages) = (bytes, 0);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(more.len());
        let (body, more) = more.split_at(length);
        rest = more;
        answers.extend(me.hear(LIAR, body).await);
        messages += 1;
        // An honest word in between.
        if messages == 1 {
            a.say("8", key).await;
        }
        if messages == MAX_MESSAGES {
            break;
        }
    }
    me.mouth.lock().expect("nobody panics with it").clear();
    for _ in 0..ROUNDS {
        exchange(&mut me, &mut a).await;
        me.keep_up(&a, key).await;
        a.keep_up(&me, key).await;
    }
    me.say("9", key).await;
    a.say("9", key).await;
    exchange(&mut me, &mut a).await;
    assert_eq!(me.copy_of(&a).await, a.entries(), "a's word, as this node has it");
    assert_eq!(a.copy_of(&me).await, me.entries(), "this node's word, as a has it");
    assert!(me.handle.with_chitchat(|chitchat| chitchat.node_states().len()).await < 1000, "there are too many starts");
    for node in [me, a] {
        node.handle.shutdown().await.expect("it only does as it is told");
    }
    if answers.is_empty() { Outcome::Taken } else { refused(&answers.join(", ")) }
}

/// Each asks the other, until nothing more is said.
async fn exchange(one: &mut Node, other: &mut Node) {
    one.ask(other).await;
    other.ask(one).await;
}

struct Node {
    index: usize,
    handle: ChitchatHandle,
    validation: Validation,
    said: LocalState,
    ear: mpsc::Sender<(SocketAddr, ChitchatMessage)>,
    /// How many messages were given to it, and how many it is done with.
    given: usize,
    done: watch::Receiver<usize>,
    mouth: Mouth,
}

type Mouth = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;

impl Node {
    async fn start(index: usize) -> Self {
        let (ear, heard) = mpsc::channel(MAX_MESSAGES);
        let (doing, done) = watch::channel(0);
        let mouth = Mouth::default();
        let socket = Throat { heard, taken: 0, doing, mouth: mouth.clone() };
        let handle = spawn_chitchat(config(index), Vec::new(), &Body(Mutex::new(Some(socket)))).await.expect("a socket is there");
        let mut validation = Validation::new(id(index), CLUSTER.to_owned(), Duration::from_secs(300));
        let mut speakers = PeerKeys::default();
        for (index, name) in NAMES.iter().enumerate() {
            speakers.members.insert(number(index), (id(index).gossip_advertise_addr, sample::node().key));
            speakers.names.insert(sample::name(name), number(index));
        }
        validation.update(&speakers);
        Self { index, handle, validation, said: LocalState::default(), ear, given: 0, done, mouth }
    }

    fn entries(&self) -> BTreeMap<String, String> {
        self.said.entries().clone()
    }

    /// A key changes, another comes or goes.
    async fn say(&mut self, revision: &str, key: &NodeKey) {
        let more = format!("obs/http/r{revision}");
        self.say_entries([("rev".to_owned(), revision.to_owned()), (more, "up".to_owned())].into(), key).await;
    }

    async fn say_entries(&mut self, entries: BTreeMap<String, String>, key: &NodeKey) {
        let origin = Origin { cluster_id: CLUSTER, node: number(self.index), generation: 1 };
        let shared = self.handle.chitchat();
        let mut chitchat = shared.lock().await;
        self.said.say(&mut chitchat, key, origin, entries);
        let heartbeat = chitchat.self_node_state().heartbeat();
        self.validation.own_numbers(self.said.version(), heartbeat.into());
    }

    /// What another node says in a message; why it is not all believed.
    async fn hear(&mut self, by: usize, body: &[u8]) -> Vec<String> {
        match self.validation.hear(voice(by), body) {
            Ok(heard) => {
                let from = id(by).gossip_advertise_addr;
                self.ear.send((from, heard.message)).await.expect("it listens");
                self.given += 1;
                let given = self.given;
                self.done.wait_for(|done| *done >= given).await.expect("chitchat has ended: it panicked");
                heard.doubts.into_iter().map(|why| why.to_string()).collect()
            }
            Err(why) => vec![why.to_string()],
        }
    }

    async fn ask(&mut self, other: &mut Self) {
        self.handle.gossip(id(other.index).gossip_advertise_addr).expect("chitchat runs");
        while self.mouth.lock().expect("nobody panics with it").is_empty() {
            tokio::task::yield_now().await;
        }
        loop {
            let mut quiet = true;
            for turn in [true, false] {
                let (speaker, hearer) = if turn { (&mut *self, &mut *other) } else { (&mut *other, &mut *self) };
                let said = std::mem::take(&mut *speaker.mouth.lock().expect("nobody panics with it"));
                let ear = id(hearer.index).gossip_advertise_addr;
                for (_, body) in said.into_iter().filter(|(to, _)| *to == ear) {
                    hearer.hear(speaker.index, &body).await;
                    quiet = false;
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// As `gossip::task` does now and then: puts its own word right, and hears that of another anew that is not what it said.
    async fn keep_up(&mut self, other: &Self, key: &NodeKey) {
        let entries = self.entries();
        if !self.handle.with_chitchat(|chitchat| self.said.is_intact(chitchat)).await {
            self.say_entries(entries, key).await;
        }
        if self.copy_of(other).await != other.entries() {
            self.validation.distrust(&id(other.index));
            self.handle.with_chitchat(|chitchat| hear_anew(chitchat, &id(other.index))).await;
        }
    }

    async fn copy_of(&self, other: &Self) -> BTreeMap<String, String> {
        let id = id(other.index);
        let read = |chitchat: &mut chitchat::Chitchat| {
            let entries = chitchat.node_state(&id).into_iter().flat_map(|state| state.key_values());
            entries.filter(|(key, _)| *key != "sig").map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        self.handle.with_chitchat(read).await
    }
}

fn config(index: usize) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: id(index),
        cluster_id: CLUSTER.to_owned(),
        // It speaks when it is told to.
        gossip_interval: Duration::from_secs(3600),
        listen_addr: id(index).gossip_advertise_addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::ZERO,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

/// A transport of one socket.
struct Body(Mutex<Option<Throat>>);

#[async_trait::async_trait]
impl Transport for Body {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(self.0.lock().expect("nobody panics with it").take().expect("chitchat opens one socket")))
    }
}

struct Throat {
    heard: mpsc::Receiver<(SocketAddr, ChitchatMessage)>,
    taken: usize,
    doing: watch::Sender<usize>,
    mouth: Mouth,
}

#[async_trait::async_trait]
impl Socket for Throat {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let mut body = Vec::new();
        message.serialize(&mut body);
        self.mouth.lock().expect("nobody panics with it").push((to, body));
        Ok(())
    }

    /// Whoever asks for a message is done with those before it.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        self.doing.send_replace(self.taken);
        let message = self.heard.recv().await.ok_or_else(|| anyhow::anyhow!("nobody speaks any more"))?;
        self.taken += 1;
        Ok(message)
    }
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let length = |body: &Vec<u8>| u16::try_from(body.len()).expect("a short sample").to_le_bytes();
    messages.iter().flat_map(|body| length(body).into_iter().chain(body.iter().copied())).collect()
}

/// All that a liar can say without being refused.
fn seeds() -> Vec<Vec<u8>> {
    let (me, a, z) = (&id(ME), &id(A), &id(LIAR));
    let ask = craft::syn(CLUSTER, &craft::digest(&[]));
    let hello = craft::syn(CLUSTER, &craft::digest(&[(z, 5, 0, 2), (a, 5, 0, 3), (me, 5, 0, 3)]));
    let (set, deleted, node, highest) = (craft::set, craft::deleted, craft::node, craft::max_version);
    let own = craft::ack(&[node(z, 0, 0), set("rev", "7", 1), set("sig", "1 x", 2)]);
    let ahead = craft::ack(&[node(a, 0, 0), highest(40), node(me, 0, 0), set("rev", "66", 50), deleted("sig", 51)]);
    let reset = craft::ack(&[node(a, 3, 0), set("junk", "1", 1), set("sig", "1 x", 3)]);
    let mixed = craft::syn_ack(&craft::digest(&[(a, 500, 0, 4)]), &[node(a, 0, 3), set("obs/http/r9", "up", 4)]);
    [vec![ask.clone()], vec![hello.clone(), own, ask.clone()], vec![hello.clone(), ahead], vec![hello, mixed, reset, ask]]
        .map(|messages| framed(&messages))
        .to_vec()
}
