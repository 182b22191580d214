//! Datagrams' envelopes, and chitchat's messages in them.

use super::{Outcome, Target, sample};
use crate::{
    clock::BootInstant,
    gossip::{
        parts::{self, Assembly, MAX_MESSAGE_BYTES as MAX_PARTED_BYTES, MAX_PARTS},
        validation::Voice,
        wire::Message,
    },
    link::{
        datagram::{Kind, MAX_DATAGRAM_BYTES, Opened, Seal},
        node_key::NodeKey,
        parcel::MAX_PARCEL_BYTES,
    },
    model::NodeId,
};
use chitchat::{ChitchatId, Serializable};
use std::{sync::Arc, time::Duration};

const NOW: BootInstant = BootInstant::from_boot(Duration::ZERO);

pub fn targets() -> Vec<Target> {
    let (datagrams, receiver) = datagrams();
    let open = move |bytes: &[u8]| receiver.open(sample::addr(1), &mut bytes.to_vec(), NOW).into();
    let mut messages = Target::new("gossip-message", messages(), MAX_PARCEL_BYTES, message);
    // A message's deltas are compressed: this is what bounds them, see `gossip::wire`.
    messages.memory = (200, 16 << 20);
    let parcels = Target::new("gossip-parts", vec![parts_of(3), parts_of(MAX_PARTS)], 1 << 16, put_together);
    vec![Target::new("link-datagram", datagrams, MAX_DATAGRAM_BYTES, open), messages, parcels]
}

/// Bodies of three members' datagrams, each with its member and its length: no more is kept of them than may be, and what comes whole is no longer than
/// a message in parts may be.
fn put_together(bytes: &[u8]) -> Outcome {
    let (mut assembly, mut rest, mut at) = (Assembly::default(), bytes, Duration::ZERO);
    let mut outcome = Outcome::Taken;
    while let Some(([member, low, high], more)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
        let (body, more) = more.split_at(length);
        rest = more;
        at += Duration::from_millis(10);
        let by = Voice { node: NodeId(u64::from(member % 3)), session: 1, now: BootInstant::from_boot(at) };
        match assembly.add(by, body) {
            Ok(whole) => assert!(whole.is_none_or(|whole| whole.len() <= MAX_PARTED_BYTES)),
            Err(why) => outcome = Outcome::Refused(why.to_string()),
        }
        assert!(assembly.bytes() <= 3 * 3 * MAX_PARTED_BYTES, "{} bytes are kept", assembly.bytes());
    }
    outcome
}

/// Two members' messages of so many parts, the one's between the other's.
fn parts_of(count: usize) -> Vec<u8> {
    let message = vec![b'm'; parts::PART_BYTES * (count - 1) + 1];
    let parts = parts::split(7, &message).expect("it is of a few parts");
    let framed = parts.flat_map(|part| {
        let length = u16::try_from(part.len()).expect("a part fits a datagram").to_le_bytes();
        [0_u8, 1].map(|member| [&[member][..], &length, &part].concat())
    });
    framed.collect::<Vec<_>>().concat()
}

/// A notice, signed datagrams and paired ones, and the member that they are for.
fn datagrams() -> (Vec<Vec<u8>>, Seal) {
    let [sender, receiver] = seals();
    let from = |seal: &Seal, to: u8, body: &[u8]| seal.seal(sample::addr(to), body).expect("a short body for a member");
    let mut early = from(&receiver, 1, b"hello");
    let Ok(Opened::Answer(notice)) = sender.open(sample::addr(2), &mut early, NOW) else {
        panic!("it does not know the session")
    };
    let bodies = [&b""[..], b"hello", &[7; 1000]];
    let signed = bodies.map(|body| from(&sender, 2, body));
    // Each hears the other's session named, from when on they are a pair.
    let mut meeting = from(&sender, 2, b"hello");
    receiver.open(sample::addr(1), &mut meeting, NOW).expect("it is signed");
    let mut reply = from(&receiver, 1, b"hello");
    sender.open(sample::addr(2), &mut reply, NOW).expect("it is for this session");
    let paired = bodies.map(|body| from(&sender, 2, body));
    assert!(paired[0].len() < signed[0].len(), "they are no pair");
    ([vec![notice], signed.to_vec(), paired.to_vec()].concat(), receiver)
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
