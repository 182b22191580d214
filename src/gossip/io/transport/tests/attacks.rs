//! What a member can say that ends chitchat, each tried on a bare one, which it does end, and on one behind this transport.

use super::{super::*, Node, nodes};
use crate::{
    gossip::{
        refusal::Refusal,
        wire::craft::{ack, deleted, digest, max_version, node, set, syn},
    },
    link::parcel::ParcelInbox,
    model::NodeId,
};
use chitchat::{ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, spawn_chitchat, transport::UdpTransport};
use tokio::{
    net::UdpSocket,
    time::{sleep, timeout},
};

/// Somebody with a socket, who may be a member.
struct Liar {
    socket: UdpSocket,
    /// None among bare chitchats.
    seal: Option<Seal>,
    /// Where it leaves what is too long for datagrams, as number 3.
    slot: ParcelInbox,
}

/// Whom it talks to, and about whom besides.
struct Scene {
    victim: ChitchatHandle,
    me: ChitchatId,
    other: ChitchatId,
    liar: Liar,
    losses: Option<SealedUdp>,
}

const PATIENCE: Duration = Duration::from_secs(10);

fn config(me: &ChitchatId) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: me.clone(),
        cluster_id: "blue".to_owned(),
        gossip_interval: Duration::from_millis(20),
        listen_addr: me.gossip_advertise_addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(60),
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

impl Scene {
    async fn new(bare: bool) -> Self {
        let [here, there, liar] = nodes(["blue"; 3]);
        let id = |node: &Node| ChitchatId::new(format!("n{}", node.id.0), 1, node.addr);
        let (me, other) = (id(&here), id(&there));
        let words = vec![("rev".to_owned(), "7".to_owned()), ("sig".to_owned(), "1".to_owned())];
        let slot = ParcelInbox::default();
        let (mailbox, _) = Mailbox::new(&slot);
        let (victim, losses) = if bare {
            (spawn_chitchat(config(&me), words, &UdpTransport).await.unwrap(), None)
        } else {
            here.transport.validation().update(&super::speakers([&here, &there, &liar]));
            here.transport.validation().own_numbers(2, 1);
            let transport = here.transport.with_mailbox(1, mailbox);
            (spawn_chitchat(config(&me), words, &transport).await.unwrap(), Some(transport))
        };
        let socket = UdpSocket::bind(liar.addr).await.unwrap();
        let scene = Self { victim, me, other, liar: Liar { socket, seal: (!bare).then_some(liar.transport.seal), slot }, losses };
        // It knows both, and a few keys of the other.
        let known = digest(&[(&scene.other, 5, 0, 3)]);
        scene.tell(&syn("blue", &known)).await;
        scene.tell(&ack(&[node(&scene.other, 0, 0), set("rev", "7", 1), set("sig", "1", 3)])).await;
        let is_known =
            |chitchat: &mut chitchat::Chitchat| chitchat.node_state(&scene.other).is_some_and(|state| state.max_version() == 3);
        timeout(PATIENCE, async {
            while !scene.victim.with_chitchat(is_known).await {
                sleep(REST).await
            }
        })
        .await
        .unwrap();
        scene
    }

    async fn tell(&self, body: &[u8]) {
        let to = self.me.gossip_advertise_addr;
        let Some(seal) = &self.liar.seal else {
            self.liar.socket.send_to(body, to).await.unwrap();
            return;
        };
        if body.len() > MAX_BODY_BYTES {
            while self.liar.slot.take(Parcel { member: NodeId(3), session: 1, body: body.to_vec() }).is_err() {
                sleep(REST).await;
            }
            return;
        }
        self.liar.socket.send_to(&seal.seal(to, body).unwrap(), to).await.unwrap();
        // It may be asked to say it again for this start of the other.
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        while let Ok(got) = timeout(Duration::from_millis(30), self.liar.socket.recv_from(&mut buffer)).await {
            if let Ok(Opened::Answer(again)) = seal.open(to, &mut buffer[..got.unwrap().0], BootClock.now()) {
                self.liar.socket.send_to(&again, to).await.unwrap();
            }
        }
    }

    /// Whether it is still there, and can go on speaking, after it has done with all that it was told.
    async fn survives(self) -> bool {
        let Self { victim, .. } = self;
        let speaks = async {
            sleep(Duration::from_millis(200)).await;
            let shared = victim.chitchat();
            let said = tokio::spawn(async move {
                let mut chitchat = shared.lock().await;
                let own = chitchat.self_node_state();
                own.set("rev", "8");
                own.delete("rev");
                own.set("sig", "2");
            });
            said.await.is_ok() && victim.shutdown().await.is_ok()
        };
        timeout(PATIENCE, speaks).await.unwrap_or(false)
    }
}

/// The same words, made of the names in the scene.
async fn ends_only_a_bare_chitchat(why: Option<Refusal>, words: impl Fn(&Scene) -> Vec<Vec<u8>>) {
    for bare in [true, false] {
        let scene = Scene::new(bare).await;
        for body in words(&scene) {
            scene.tell(&body).await;
        }
        let losses = scene.losses.clone();
        assert_eq!(scene.survives().await, !bare, "bare: {bare}");
        let lost = losses.map(|transport| {
            let Losses { garbled, doubted, .. } = transport.losses();
            garbled.load(Ordering::Relaxed) + doubted.load(Ordering::Relaxed)
        });
        assert!(lost.is_none_or(|lost| (lost > 0) == why.is_some()), "{lost:?}, {why:?}");
    }
}

/// `state.rs`, `apply_delta`: `assert!(node_delta.max_version >= self.max_version)`.
#[tokio::test]
async fn a_greatest_version_below_that_of_a_key() {
    let words = |scene: &Scene| vec![ack(&[node(&scene.other, 0, 3), set("rev", "8", 13), max_version(4)])];
    ends_only_a_bare_chitchat(Some(Refusal::Order), words).await;
}

/// `state.rs`, `set` and `delete`: `self.max_version + 1`; in release `assert!(version > self.max_version)`.
#[tokio::test]
async fn the_last_version_there_is_of_the_node_itself() {
    let words = |scene: &Scene| vec![ack(&[node(&scene.me, 0, 0), max_version(u64::MAX)])];
    ends_only_a_bare_chitchat(Some(Refusal::Number), words).await;
    let words = |scene: &Scene| vec![ack(&[node(&scene.me, 0, 0), set("rev", "8", u64::MAX)])];
    ends_only_a_bare_chitchat(Some(Refusal::Number), words).await;
    let words = |scene: &Scene| vec![ack(&[node(&scene.me, 0, 0), deleted("rev", u64::MAX)])];
    ends_only_a_bare_chitchat(Some(Refusal::Number), words).await;
}

/// `delta.rs`, `try_add_op`: `assert!(self.delta_builder.apply_op(delta_op).is_ok())`, when it passes on what it was told.
#[tokio::test]
async fn two_keys_of_one_version() {
    let twice = |scene: &Scene| {
        let changes = [node(&scene.other, 0, 3), set("a", "1", 10), max_version(5), set("b", "1", 10)];
        vec![ack(&changes), syn("blue", &digest(&[]))]
    };
    ends_only_a_bare_chitchat(Some(Refusal::Order), twice).await;
}

/// `listener.rs`, `trigger_event`: `&key[0..1]`.
#[tokio::test]
async fn a_key_whose_first_letter_is_of_two_bytes() {
    let words = |scene: &Scene| vec![ack(&[node(&scene.other, 0, 3), set("\u{e9}", "1", 4)])];
    ends_only_a_bare_chitchat(Some(Refusal::Text), words).await;
}

/// `lib.rs`, `process_message`: `MAX_UDP_DATAGRAM_PAYLOAD_SIZE - 1 - self_digest.serialized_len()`; `delta.rs`, `with_mtu`: `assert!(mtu >= 100)`.
#[tokio::test]
async fn more_starts_than_a_digest_has_room_for() {
    let strangers = |scene: &Scene| {
        let named = |last: char| ChitchatId::new(last.to_string().repeat(40_000), 1, scene.other.gossip_advertise_addr);
        let one = |id: &ChitchatId| syn("blue", &digest(&[(id, 5, 0, 3)]));
        vec![one(&named('x')), one(&named('y')), syn("blue", &digest(&[]))]
    };
    ends_only_a_bare_chitchat(None, strangers).await;
    let starts = |scene: &Scene| {
        let ids: Vec<_> = (2..2000).map(|start| ChitchatId::new("n2", start, scene.other.gossip_advertise_addr)).collect();
        let some = |ids: &[ChitchatId]| syn("blue", &digest(&ids.iter().map(|id| (id, 5, 0, 3)).collect::<Vec<_>>()));
        ids.chunks(1000).map(some).chain([syn("blue", &digest(&[]))]).collect()
    };
    ends_only_a_bare_chitchat(Some(Refusal::Crowd), starts).await;
}

/// `state.rs`, `apply_delta`: what forgets more than this node has said would empty its own word, and set its heartbeat back to nothing. Not a panic.
#[tokio::test]
async fn this_nodes_own_word_is_not_reset() {
    for bare in [true, false] {
        let scene = Scene::new(bare).await;
        scene.tell(&ack(&[node(&scene.me, 1000, 0), set("junk", "1", 2000)])).await;
        sleep(Duration::from_millis(200)).await;
        let kept = scene.victim.with_chitchat(|chitchat| chitchat.self_node_state().contains_key("rev")).await;
        assert_eq!(kept, !bare);
    }
}

/// `types.rs`, `Heartbeat::inc`: no message reaches a node's own heartbeat; of another it would stay the last one for ever.
#[tokio::test]
async fn the_last_heartbeat_there_is() {
    for bare in [true, false] {
        let scene = Scene::new(bare).await;
        scene.tell(&syn("blue", &digest(&[(&scene.me, u64::MAX, 0, 0), (&scene.other, u64::MAX, 0, 3)]))).await;
        sleep(Duration::from_millis(200)).await;
        let beats = |chitchat: &mut chitchat::Chitchat| u64::from(chitchat.node_state(&scene.other).unwrap().heartbeat());
        assert_eq!(scene.victim.with_chitchat(beats).await, if bare { u64::MAX } else { 5 });
        assert!(scene.survives().await);
    }
}
