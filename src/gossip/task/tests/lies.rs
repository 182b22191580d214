//! Two nodes, and a member that tells one of them what is not true of the other.

use super::*;
use crate::{
    clock::{BootClock, Clock},
    gossip::wire::craft::{ack, digest, node, set, syn},
    link::datagram::{MAX_DATAGRAM_BYTES, Opened},
};

struct Scene {
    a: Node,
    b: Node,
    to: SocketAddr,
    of: ChitchatId,
    seal: Seal,
    socket: tokio::net::UdpSocket,
}

impl Scene {
    async fn new() -> Self {
        let (one, two, liar_at) = (free_addr(), free_addr(), free_addr());
        let members = speakers(&[("a", one), ("b", two), ("z", liar_at)]);
        let mut a = Node::start(settings("a", "blue", one, 1, INTERVAL), &[two], members.clone());
        let mut b = Node::start(settings("b", "blue", two, 1, INTERVAL), &[one], members.clone());
        a.sees("b", |view| live("a b")(view) && revision(view, "b") == Some(1)).await;
        b.sees("a", live("a b")).await;
        let (id, key) = key_of("z");
        let seal = Seal::new(Kind::Gossip, "blue", id, 1, key);
        seal.update(&members.keyring, &members.members);
        let socket = tokio::net::UdpSocket::bind(liar_at).await.unwrap();
        let scene = Self { a, b, to: one, of: ChitchatId::new("b", 1, two), seal, socket };
        // So that a knows which start of it speaks.
        scene.lie(&syn("blue", &digest(&[]))).await;
        scene
    }

    async fn lie(&self, body: &[u8]) {
        self.socket.send_to(&self.seal.seal(self.to, body).unwrap(), self.to).await.unwrap();
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        while let Ok(got) = timeout(INTERVAL, self.socket.recv_from(&mut buffer)).await {
            if let Ok(Opened::Answer(again)) = self.seal.open(self.to, &mut buffer[..got.unwrap().0], BootClock.now()) {
                self.socket.send_to(&again, self.to).await.unwrap();
            }
        }
    }

    /// What b says comes to a, whole, and it lives on.
    async fn hears(&mut self, next: u64) {
        self.b.say(|word| word.revision = next);
        self.a.sees("b's next word", |view| live("a b")(view) && revision(view, "b") == Some(next)).await;
        // For a few more rounds than it takes to count a node as dead.
        let silent = timeout(INTERVAL * 20, self.a.view.wait_for(|view| !live("a b")(view))).await.is_ok();
        assert!(!silent, "b is silent after it was heard");
        assert!(!self.a.task.is_finished() && !self.b.task.is_finished());
    }
}

#[tokio::test]
async fn a_heartbeat_beyond_a_nodes_own_does_not_silence_it() {
    let mut scene = Scene::new().await;
    for lead in [1000, 60_000, u64::MAX] {
        scene.lie(&syn("blue", &digest(&[(&scene.of, lead, 0, 0)]))).await;
        scene.hears(lead).await;
    }
}

#[tokio::test]
async fn changes_beyond_a_nodes_own_are_answered_with_its_word() {
    let mut scene = Scene::new().await;
    let of = scene.of.clone();
    for (round, version) in (2..).zip([50_u64, 60_000, 100_000]) {
        scene.lie(&ack(&[node(&of, 0, 0), set("facts", "{}", version), set("junk", "1", version + 1)])).await;
        scene.hears(round).await;
    }
}

/// It has as many changes by then as its node, so that nobody is told of what differs.
#[tokio::test]
async fn changes_in_the_place_of_a_nodes_own_are_found_out() {
    let mut scene = Scene::new().await;
    let of = scene.of.clone();
    let forged = (4..60).map(|version| set(&format!("junk{version}"), "1", version));
    // Many datagrams, of which some come before b's own change does.
    for round in 2..8 {
        scene.b.say(|word| word.revision = round);
        let body = ack(&std::iter::once(node(&of, 0, 0)).chain(forged.clone().take(2 * round as usize)).collect::<Vec<_>>());
        scene.socket.send_to(&scene.seal.seal(scene.to, &body).unwrap(), scene.to).await.unwrap();
    }
    scene.hears(99).await;
}
