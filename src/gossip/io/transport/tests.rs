//! Datagrams over loopback.

mod attacks;

use super::*;
use crate::{
    gossip::wire::{
        Message,
        craft::{digest, syn},
    },
    link::{
        datagram::{HEADER_BYTES, Kind},
        node_key::NodeKey,
        parcel::ParcelInbox,
    },
    model::{KeyId, NodeId, Secret},
    rules::security::{KeyRing, PeerKeys},
};
use chitchat::ChitchatId;
use proptest::prelude::*;
use tokio::net::UdpSocket;

struct Node {
    id: NodeId,
    addr: SocketAddr,
    key: Arc<NodeKey>,
    transport: SealedUdp,
}

fn validation(id: u64, addr: SocketAddr, cluster: &str) -> Validation {
    Validation::new(ChitchatId::new(format!("n{id}"), 1, addr), cluster.to_owned(), Duration::from_secs(300))
}

fn speakers(nodes: [&Node; 3]) -> PeerKeys {
    let mut speakers = PeerKeys::default();
    for Node { id, addr, key, .. } in nodes {
        speakers.members.insert(*id, (*addr, key.public()));
        speakers.names.insert(format!("n{}", id.0).parse().unwrap(), *id);
    }
    speakers
}

fn nodes(clusters: [&str; 3]) -> [Node; 3] {
    let mut id = 0;
    let nodes = clusters.map(|cluster| {
        id += 1;
        let key = Arc::new(NodeKey::generate());
        let addr = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let seal = Seal::new(Kind::Gossip, cluster, NodeId(id), 1, key.clone());
        let transport = SealedUdp::new(seal, validation(id, addr, cluster), Duration::from_millis(20));
        Node { id: NodeId(id), addr, key, transport }
    });
    let keys = [(KeyId(1), Secret::new([7; 32]))].into();
    let ring = KeyRing { primary: Some(KeyId(1)), keys, ..KeyRing::default() };
    let members = nodes.iter().map(|node| (node.id, (node.addr, node.key.public()))).collect();
    nodes.iter().for_each(|node| node.transport.seal.update(&ring, &members));
    nodes
}

#[tokio::test]
async fn only_whole_messages_of_members_come_through_the_first_after_a_notice() {
    let [here, there, stranger] = nodes(["blue", "blue", "green"]);
    let mut receiver = here.transport.open(here.addr).await.unwrap();
    let mut sender = there.transport.open(there.addr).await.unwrap();
    let bare = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    bare.send_to(b"", here.addr).await.unwrap();
    bare.send_to(&[7; HEADER_BYTES + 100], here.addr).await.unwrap();
    stranger.transport.open(stranger.addr).await.unwrap().send(here.addr, ChitchatMessage::BadCluster).await.unwrap();
    sender.send(here.addr, ChitchatMessage::BadCluster).await.unwrap();
    // The sender serves its socket too: there the notice comes in, and the message goes out again.
    let serve = tokio::spawn(async move { sender.recv().await.map(|(from, _)| from) });
    assert_eq!(receiver.recv().await.unwrap(), (there.addr, ChitchatMessage::BadCluster));
    let rejected = here.transport.seal.rejections();
    assert_eq!((rejected.of(Rejected::Length), rejected.of(Rejected::Magic), rejected.of(Rejected::Cluster)), (1, 1, 1));
    // A member that says something senseless is not understood, and the next message is.
    let senseless = there.transport.seal.seal(here.addr, b"no gossip").unwrap();
    receiver.send(there.addr, ChitchatMessage::BadCluster).await.unwrap();
    assert_eq!(serve.await.unwrap().unwrap(), here.addr);
    let bare = UdpSocket::bind(there.addr).await.unwrap();
    bare.send_to(&senseless, here.addr).await.unwrap();
    bare.send_to(&there.transport.seal.seal(here.addr, &message(&ChitchatMessage::BadCluster)).unwrap(), here.addr)
        .await
        .unwrap();
    assert_eq!(receiver.recv().await.unwrap().0, there.addr);
    assert_eq!(here.transport.losses().garbled.load(Ordering::Relaxed), 1);
}

fn message(message: &ChitchatMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.serialize(&mut bytes);
    bytes
}

#[tokio::test]
async fn an_address_that_cannot_be_reached_is_no_error() {
    let [here, ..] = nodes(["blue"; 3]);
    let far: SocketAddr = "192.0.2.1:7400".parse().unwrap();
    let ring = KeyRing { primary: Some(KeyId(1)), keys: [(KeyId(1), Secret::new([7; 32]))].into(), ..KeyRing::default() };
    here.transport.seal.update(&ring, &[(NodeId(9), (far, here.key.public()))].into());
    let mut socket = here.transport.open("127.0.0.1:0".parse().unwrap()).await.unwrap();
    // A loopback socket cannot send to another network.
    socket.send(far, ChitchatMessage::BadCluster).await.unwrap();
    assert_eq!(here.transport.losses().unsent.load(Ordering::Relaxed), 1);
    // And nobody is sent anything who is no member.
    socket.send("127.0.0.1:9".parse().unwrap(), ChitchatMessage::BadCluster).await.unwrap();
    assert_eq!(here.transport.seal.unsent(), 1);
}

/// A question about so many starts of nodes that nobody knows: some 40 bytes each.
fn long(mentions: u64) -> ChitchatMessage {
    let ids: Vec<ChitchatId> = (0..mentions).map(|start| ChitchatId::new("x", start, ([127, 0, 0, 1], 1).into())).collect();
    let digest = digest(&ids.iter().map(|id| (id, 5, 0, 3)).collect::<Vec<_>>());
    Message::read(&syn("blue", &digest)).unwrap().write().unwrap()
}

/// What is left of them once it is weighed.
fn is_question(message: &ChitchatMessage) -> bool {
    matches!(message, ChitchatMessage::Syn { .. })
}

#[tokio::test]
async fn a_longer_message_comes_in_parts_and_what_is_longer_still_by_the_mailbox() {
    let [here, there, other] = nodes(["blue"; 3]);
    for node in [&here, &there] {
        node.transport.validation().update(&speakers([&here, &there, &other]));
    }
    let slot = ParcelInbox::default();
    let (mailbox, _out) = Mailbox::new(&slot);
    let mut receiver = here.transport.clone().with_mailbox(1, mailbox).open(here.addr).await.unwrap();
    let (mailbox, mut out) = Mailbox::new(&ParcelInbox::default());
    let mut sender = there.transport.clone().with_mailbox(1, mailbox).open(there.addr).await.unwrap();
    // They come to know each other's sessions.
    sender.send(here.addr, ChitchatMessage::BadCluster).await.unwrap();
    let serve = tokio::spawn(async move { (sender.recv().await.unwrap(), sender) });
    assert_eq!(receiver.recv().await.unwrap().1, ChitchatMessage::BadCluster);
    receiver.send(there.addr, ChitchatMessage::BadCluster).await.unwrap();
    let (_, mut sender) = serve.await.unwrap();

    sender.send(here.addr, long(100)).await.unwrap();
    let (from, message) = receiver.recv().await.unwrap();
    assert!(from == there.addr && is_question(&message));
    assert!(out.try_recv().is_err());
    sender.send(here.addr, long(1000)).await.unwrap();
    let parcel = out.recv().await.unwrap();
    assert_eq!((parcel.member, parcel.session), (here.id, 1));
    assert!(parcel.body.len() > parts::MAX_MESSAGE_BYTES);
    // What comes by the mailbox is weighed like a datagram: no stranger's, no earlier start's, nothing senseless.
    let sent = |member, session, body: &[u8]| slot.take(Parcel { member, session, body: body.to_vec() }).unwrap();
    sent(NodeId(9), 1, &parcel.body);
    sent(there.id, 0, &parcel.body);
    let quiet = tokio::time::timeout(Duration::from_millis(50), receiver.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    sent(there.id, 1, b"no gossip");
    let quiet = tokio::time::timeout(Duration::from_millis(50), receiver.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(here.transport.losses().garbled.load(Ordering::Relaxed), 1);
    sent(there.id, 1, &parcel.body);
    let (from, message) = receiver.recv().await.unwrap();
    assert!(from == there.addr && is_question(&message));
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(kind in 0_u8..4, rest in prop::collection::vec(any::<u8>(), 0..300)) {
        // chitchat's magic number and version, so that what comes after them is reached.
        let body = [&[0x53, 0xb0, 0, kind], &rest[..]].concat();
        let by = Voice { node: NodeId(2), session: 1, now: BootClock.now() };
        let _ = validation(1, ([127, 0, 0, 1], 1).into(), "blue").hear(by, &body);
    }
}
