//! Datagrams' envelopes, and chitchat's messages in them.

use super::{Outcome, Target, sample};
use crate::{
    clock::BootInstant,
    gossip::wire::Message,
    link::{
        datagram::{Kind, MAX_BODY_BYTES, MAX_DATAGRAM_BYTES, Seal},
        node_key::NodeKey,
    },
    model::NodeId,
};
use chitchat::{ChitchatId, Serializable};
use std::{sync::Arc, time::Duration};

pub fn targets() -> Vec<Target> {
    let [sender, receiver] = seals();
    let datagrams = [&b""[..], b"hello", &[7; 1000]];
    let datagrams = datagrams.map(|body| sender.seal(sample::addr(2), body).expect("a short body for a member")).to_vec();
    let open =
        move |bytes: &[u8]| receiver.open(sample::addr(1), &mut bytes.to_vec(), BootInstant::from_boot(Duration::ZERO)).into();
    let mut messages = Target::new("gossip-message", messages(), MAX_BODY_BYTES, message);
    // A datagram's deltas are compressed: this is what bounds them, see `gossip::wire`.
    messages.memory = (200, 16 << 20);
    vec![Target::new("link-datagram", datagrams, MAX_DATAGRAM_BYTES, open), messages]
}

/// Two members that know each other's keys: nodes 1 and 2 at addresses that end so.
fn seals() -> [Seal; 2] {
    let keys = [1_u8, 2].map(|last| (last, Arc::new(NodeKey::generate())));
    let members = keys.iter().map(|(last, key)| (NodeId((*last).into()), (sample::addr(*last), key.public()))).collect();
    keys.map(|(last, key)| {
        let seal = Seal::new(Kind::Gossip, "blue", NodeId(last.into()), 42, key);
        seal.update(&sample::keyring(), &members);
        seal
    })
}

/// Not written again: chitchat asserts that what it writes is as long as what it read, which another compression is not.
fn message(bytes: &[u8]) -> Outcome {
    Message::read(bytes).and_then(|message| message.write()).into()
}

/// By hand after chitchat 0.11's `message.rs`, `digest.rs` and `delta.rs`, whose parts cannot be made from outside.
fn messages() -> Vec<Vec<u8>> {
    let mut digest = 1_u16.to_le_bytes().to_vec();
    id().serialize(&mut digest);
    digest.extend([5_u64, 0, 9].into_iter().flat_map(u64::to_le_bytes));
    let mut name = Vec::new();
    "blue".to_owned().serialize(&mut name);
    let delta = delta();
    [[&[0][..], &digest, &name].concat(), [&[1][..], &digest, &delta].concat(), [&[2][..], &delta].concat(), vec![3]]
        .map(|body| [&[0x53, 0xb0, 0], &body[..]].concat())
        .to_vec()
}

fn id() -> ChitchatId {
    ChitchatId::new("d1".to_owned(), 1_800_000_000, ([10, 0, 0, 11], 7400).into())
}

/// A node and two of its keys, in one block that is not compressed.
fn delta() -> Vec<u8> {
    let mut items = vec![0];
    id().serialize(&mut items);
    items.extend([0_u64, 0].into_iter().flat_map(u64::to_le_bytes));
    for (version, key, value) in [(1_u64, "rev", "7"), (2, "obs/http/r1", "up 00000001 1800000000000 200 OK")] {
        items.push(1);
        key.to_owned().serialize(&mut items);
        value.to_owned().serialize(&mut items);
        items.extend(version.to_le_bytes());
        items.push(0);
    }
    let length = u16::try_from(items.len()).expect("a few items");
    [&[2][..], &length.to_le_bytes(), &items, &[0]].concat()
}
