//! What is read, and that nothing is lost by writing it again.

use super::{
    craft::{ack, change, deleted, digest, max_version, node, set, syn, syn_ack},
    *,
};
use chitchat::{
    ChitchatConfig, FailureDetectorConfig, spawn_chitchat,
    transport::{ChannelTransport, Transport},
};
use std::{net::SocketAddr, time::Duration};

fn id(name: &str) -> ChitchatId {
    ChitchatId::new(name, 1, ([10, 0, 0, 1], 7400).into())
}

fn refusal(items: &[Vec<u8>]) -> Option<Refusal> {
    Message::read(&ack(items)).err()
}

#[test]
fn a_message_that_unpacks_to_much_is_refused() {
    // 64 KiB of zeros: a frame of one run-length block (RFC 8878). chitchat unpacks it, and finds no node in it.
    let bomb = [1, 11, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0xff, 0xfe, 0xfb, 0xff, 0x07, 0];
    let ack = |blocks: &[u8]| [&PREFIX[..], &[ACK], blocks, &[END]].concat();
    let refused = ChitchatMessage::deserialize(&mut &ack(&bomb)[..]).unwrap_err();
    assert!(!format!("{refused:#}").contains("decompress"), "{refused:#}");
    assert_eq!(Message::read(&ack(&bomb)), Err(Refusal::Packing));
    let plain = |bytes: usize| [&[PLAIN][..], &u16::try_from(bytes).unwrap().to_le_bytes(), &vec![0; bytes]].concat();
    assert_eq!(Message::read(&ack(&plain(BLOCK_BYTES + 1))), Err(Refusal::Packing));
    let empty = plain(0);
    assert_eq!(Message::read(&ack(&empty.repeat(MAX_BLOCKS))).unwrap().delta, []);
    assert_eq!(Message::read(&ack(&empty.repeat(MAX_BLOCKS + 1))), Err(Refusal::Packing));
}

#[test]
fn changes_that_no_chitchat_writes_are_refused() {
    let (a, b) = (id("a"), id("b"));
    let of_a = || node(&a, 0, 5);
    let key = |version| set("k", "v", version);
    assert_eq!(refusal(&[of_a(), key(6), deleted("l", 7), node(&b, 3, 0), max_version(9)]), None);
    for (items, expected) in [
        (vec![key(6)], Refusal::Order),
        (vec![of_a(), key(6), key(6)], Refusal::Order),
        (vec![of_a(), key(7), key(6)], Refusal::Order),
        (vec![of_a(), key(5)], Refusal::Order),
        (vec![of_a(), key(7), max_version(6)], Refusal::Order),
        (vec![of_a(), key(7), max_version(8)], Refusal::Order),
        (vec![of_a(), max_version(5)], Refusal::Order),
        (vec![of_a(), max_version(7), max_version(8)], Refusal::Order),
        (vec![of_a(), max_version(7), key(8)], Refusal::Order),
        (vec![of_a(), key(6), of_a()], Refusal::Twice),
        (vec![node(&a, MAX_NUMBER + 1, 0)], Refusal::Number),
        (vec![node(&a, 0, u64::MAX)], Refusal::Number),
        (vec![of_a(), key(MAX_NUMBER + 1)], Refusal::Number),
        (vec![of_a(), max_version(u64::MAX)], Refusal::Number),
        (vec![of_a(), set("ü", "v", 6)], Refusal::Text),
        (vec![of_a(), set(&"k".repeat(MAX_KEY_BYTES + 1), "v", 6)], Refusal::Text),
        (vec![of_a(), set("k", &"v".repeat(MAX_VALUE_BYTES + 1), 6)], Refusal::Text),
        (vec![of_a(), change("k", "v", 6, 2)], Refusal::Layout),
        (vec![of_a(), vec![3]], Refusal::Layout),
        (vec![of_a()[..20].to_vec()], Refusal::Layout),
    ] {
        assert_eq!(refusal(&items), Some(expected), "{items:?}");
    }
}

#[test]
fn digests_that_no_chitchat_writes_are_refused() {
    let a = id("a");
    let read = |mentions: &[(&ChitchatId, u64, u64, u64)]| Message::read(&syn("blue", &digest(mentions))).err();
    assert_eq!(read(&[(&a, MAX_NUMBER, MAX_NUMBER, MAX_NUMBER), (&id("b"), 0, 0, 0)]), None);
    assert_eq!(read(&[(&a, 1, 1, 1), (&a, 1, 1, 1)]), Some(Refusal::Twice));
    for numbers in [[u64::MAX, 0, 0], [0, u64::MAX, 0], [0, 0, u64::MAX]] {
        assert_eq!(read(&[(&a, numbers[0], numbers[1], numbers[2])]), Some(Refusal::Number));
    }
    let trailed = [syn("blue", &digest(&[])), vec![0]].concat();
    assert_eq!(Message::read(&trailed), Err(Refusal::Layout));
}

#[test]
fn what_is_written_is_what_was_read() {
    let (a, b) = (id("a"), id("b"));
    let items = [node(&a, 0, 5), set("k", "v", 6), deleted("l", 7), node(&b, 3, 0), max_version(9)];
    let digest = digest(&[(&a, 5, 0, 7), (&b, 6, 3, 9)]);
    for bytes in [syn("blue", &digest), syn_ack(&digest, &items), ack(&items), [&PREFIX[..], &[BAD_CLUSTER]].concat()] {
        let message = Message::read(&bytes).unwrap();
        assert_eq!(message.to_bytes().unwrap(), bytes);
        assert_eq!(message.write().unwrap(), ChitchatMessage::deserialize(&mut &bytes[..]).unwrap());
    }
    // Texts are looked at by chitchat itself.
    let mut bytes = ack(&[node(&a, 0, 0), set("k", "\u{1}\u{1}", 6)]);
    let value = bytes.windows(2).rposition(|two| two == [1, 1]).unwrap();
    bytes[value] = 0xff;
    assert_eq!(Message::read(&bytes).unwrap().write(), Err(Refusal::Layout));
}

/// A chitchat that tells a stranger all it knows: the stranger's words are those of a node that knows nothing.
#[tokio::test]
async fn what_chitchat_says_is_read_whole() {
    const KEYS: usize = 2000;
    let transport = ChannelTransport::default();
    let (talker, stranger) = (SocketAddr::from(([127, 0, 0, 1], 1)), SocketAddr::from(([127, 0, 0, 1], 2)));
    let keys = (0..KEYS).map(|n| (format!("obs/http/r{n}"), format!("up {n:08x} 1800000000000 200 OK"))).collect();
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new("d1".to_owned(), 1, talker),
        cluster_id: "blue".to_owned(),
        gossip_interval: Duration::from_millis(50),
        listen_addr: talker,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(60),
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    let mut socket = transport.open(stranger).await.unwrap();
    let chitchat = spawn_chitchat(config, keys, &transport).await.unwrap();
    socket.send(talker, Message::read(&syn("blue", &digest(&[]))).unwrap().write().unwrap()).await.unwrap();
    let (_, answer) = socket.recv().await.unwrap();
    let mut bytes = Vec::new();
    answer.serialize(&mut bytes);
    let message = Message::read(&bytes).unwrap();
    assert_eq!((message.digest.len(), message.delta.len(), message.delta[0].count), (1, 1, KEYS));
    let uncompressed = message.to_bytes().unwrap();
    assert!(uncompressed.len() > 2 * bytes.len(), "{} bytes of {}: nothing was compressed", bytes.len(), uncompressed.len());
    assert_eq!(Message::read(&uncompressed), Ok(message));
    chitchat.shutdown().await.unwrap();
}
