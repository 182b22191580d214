//! Guards on loopback that speak for real.

use super::*;
use crate::{
    link::{datagram::Kind, node_key::NodeKey},
    model::{KeyId, Secret},
};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Longest that a test waits for a datagram on loopback.
const PATIENCE: Duration = Duration::from_secs(20);

struct Guard {
    id: NodeId,
    key: Arc<NodeKey>,
    addr: SocketAddr,
    socket: LeaseSocket,
}

impl Guard {
    fn new(id: u64) -> Self {
        let mut socket = LeaseSocket::new("127.0.0.1:0".parse().unwrap());
        socket.bind().unwrap();
        let addr = socket.socket.as_ref().unwrap().local_addr().unwrap();
        let (id, key) = (NodeId(id), Arc::new(NodeKey::generate()));
        let mut guard = Self { id, key, addr, socket };
        guard.start(1);
        guard
    }

    fn start(&mut self, session: u64) {
        self.socket.speak_with(Seal::new(Kind::Lease, "blue", self.id, session, self.key.clone()));
    }

    fn says(&self, to: &Guard, message: LeaseMessage) {
        self.socket.send(to.addr, &codec::encode(&vec![message], MAX_LIST_BYTES).unwrap());
    }

    async fn hears(&mut self) -> Option<Incoming> {
        timeout(PATIENCE, self.socket.receive()).await.expect("a datagram is on its way")
    }
}

fn keyring(key: u8) -> KeyRing {
    let keys = [(KeyId(1), Secret::new([key; 32]))].into();
    KeyRing { primary: Some(KeyId(1)), keys, ..KeyRing::default() }
}

fn members(guards: &[&Guard]) -> BTreeMap<NodeId, (SocketAddr, PublicKey)> {
    guards.iter().map(|guard| (guard.id, (guard.addr, guard.key.public()))).collect()
}

fn hand_over(group: &str) -> LeaseMessage {
    LeaseMessage::HandOver { group: group.parse().unwrap(), first: None }
}

#[tokio::test]
async fn a_guards_first_word_costs_one_round_trip_more_and_further_ones_none() {
    let (mut a, mut b) = (Guard::new(1), Guard::new(2));
    let all = members(&[&a, &b]);
    a.socket.speakers(&keyring(7), &all);
    b.socket.speakers(&keyring(7), &all);
    a.says(&b, hand_over("one"));
    assert_eq!(b.hears().await, None, "b answers with a notice");
    assert_eq!(a.hears().await, None, "a sends it again");
    let heard = |guard: &Guard, what| Some((guard.id, guard.addr, vec![hand_over(what)]));
    let said = |incoming: Option<Incoming>| incoming.map(|said| (said.from, said.source, said.messages));
    let begun = BootClock.now();
    let first = b.hears().await.unwrap();
    assert_eq!((first.stamp.heard_ns, first.session), (0, 1), "a has heard no reading");
    assert_eq!(said(Some(first.clone())), heard(&a, "one"));
    b.says(&a, hand_over("two"));
    let second = a.hears().await.unwrap();
    assert_eq!(second.stamp.heard_ns, first.stamp.read_ns);
    assert!(begun.since_boot().as_nanos() <= second.stamp.read_ns.into() && begun <= second.at);
    assert_eq!(said(Some(second)), heard(&b, "two"));
    // The same speakers again, and another key, disturb nothing.
    let both = KeyRing { keys: [(KeyId(1), Secret::new([7; 32])), (KeyId(2), Secret::new([8; 32]))].into(), ..keyring(7) };
    a.socket.speakers(&both, &all);
    b.socket.speakers(&both, &all);
    a.socket.speakers(&KeyRing { primary: Some(KeyId(2)), ..both }, &all);
    a.says(&b, hand_over("three"));
    assert_eq!(said(b.hears().await), heard(&a, "three"));
    b.socket.speakers(&keyring(7), &members(&[&b]));
    a.says(&b, hand_over("four"));
    assert_eq!(b.hears().await, None, "a is no member any more");
}

#[tokio::test]
async fn before_it_knows_speakers_a_guard_neither_speaks_nor_hears() {
    let (mut a, mut b) = (Guard::new(1), Guard::new(2));
    let all = members(&[&a, &b]);
    b.socket.speakers(&keyring(7), &all);
    a.says(&b, hand_over("lost"));
    b.says(&a, hand_over("early"));
    assert_eq!(a.hears().await, None);
    a.socket.speakers(&keyring(7), &all);
    a.says(&b, hand_over("one"));
    assert_eq!(b.hears().await, None, "b answers with a notice");
    assert_eq!(a.hears().await, None);
    assert_eq!(b.hears().await.map(|heard| heard.messages), Some(vec![hand_over("one")]));
}

#[tokio::test]
async fn a_reading_of_a_guards_earlier_start_is_not_told_to_its_next_one() {
    let (mut a, mut b) = (Guard::new(1), Guard::new(2));
    let all = members(&[&a, &b]);
    a.socket.speakers(&keyring(7), &all);
    b.socket.speakers(&keyring(7), &all);
    b.says(&a, hand_over("one"));
    assert_eq!(a.hears().await, None, "a answers with a notice");
    assert_eq!(b.hears().await, None, "b sends it again");
    assert!(a.hears().await.is_some());
    b.start(2);
    b.socket.speakers(&keyring(7), &all);
    a.says(&b, hand_over("late"));
    assert_eq!(b.hears().await, None, "b answers with a notice");
    assert_eq!(a.hears().await, None, "a sends it again");
    assert!(b.hears().await.is_some());
    a.says(&b, hand_over("two"));
    assert_eq!(b.hears().await.map(|said| said.stamp.heard_ns), Some(0));
}
