//! Nodes that seal for each other, with attackers and a bad network between them.

mod network;

use super::*;
use crate::model::Secret;
use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::time::Duration;

const NOW: BootInstant = BootInstant::from_boot(Duration::from_secs(100));

/// The key with this seed, in the form that *ring* writes (RFC 5958).
fn key_of(seed: u8) -> Arc<NodeKey> {
    let seed = [seed; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let head = [0x30, 0x51, 2, 1, 1, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pkcs8 = [&head[..], &seed, &[0x81, 0x21, 0], pair.public_key().as_ref()].concat();
    Arc::new(NodeKey::from_pkcs8(&pkcs8).unwrap())
}

fn addr(id: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(id).unwrap()], 7401))
}

fn ring(keys: &[u16], primary: u16) -> KeyRing {
    let keys = keys.iter().map(|id| (KeyId(*id), Secret::new([u8::try_from(*id).unwrap(); 32]))).collect();
    KeyRing { primary: Some(KeyId(primary)), keys, ..KeyRing::default() }
}

fn members(ids: &[u64]) -> BTreeMap<NodeId, (SocketAddr, PublicKey)> {
    ids.iter().map(|id| (NodeId(*id), (addr(*id), key_of(u8::try_from(*id).unwrap()).public()))).collect()
}

/// Node `id` of three, at its start number `session`.
fn node(id: u64, session: u64) -> Seal {
    let seal = Seal::new(Kind::Lease, "blue", NodeId(id), session, key_of(u8::try_from(id).unwrap()));
    seal.update(&ring(&[1], 1), &members(&[1, 2, 3]));
    seal
}

/// What `to` makes of a datagram: the body, or what it answers.
#[derive(PartialEq, Eq, Debug)]
enum Got {
    Body(Vec<u8>),
    Answer(Vec<u8>),
    Nothing,
}

fn deliver(to: &Seal, from: SocketAddr, datagram: &[u8]) -> Result<Got, Rejected> {
    deliver_at(NOW, to, from, datagram)
}

fn deliver_at(now: BootInstant, to: &Seal, from: SocketAddr, datagram: &[u8]) -> Result<Got, Rejected> {
    let mut bytes = datagram.to_vec();
    to.open(from, &mut bytes, now).map(|opened| match opened {
        Opened::Body { body, .. } => Got::Body(body.to_vec()),
        Opened::Answer(answer) => Got::Answer(answer),
        Opened::Nothing => Got::Nothing,
    })
}

fn answer(got: Result<Got, Rejected>) -> Vec<u8> {
    match got {
        Ok(Got::Answer(datagram)) => datagram,
        other => panic!("no answer but {other:?}"),
    }
}

/// Nodes 1 and 2, each of which knows the other's session.
fn pair() -> (Seal, Seal) {
    let (a, b) = (node(1, 10), node(2, 20));
    let notice = answer(deliver(&b, addr(1), &a.seal(addr(2), b"hello").unwrap()));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!(deliver(&b, addr(1), &again), Ok(Got::Body(b"hello".to_vec())));
    (a, b)
}

#[test]
fn the_first_word_costs_one_round_trip_more_and_the_answer_none() {
    let (a, b) = pair();
    let reply = b.seal(addr(1), b"yes").unwrap();
    assert_eq!(deliver(&a, addr(2), &reply), Ok(Got::Body(b"yes".to_vec())));
    let next = a.seal(addr(2), b"and now").unwrap();
    assert_eq!(deliver(&b, addr(1), &next), Ok(Got::Body(b"and now".to_vec())));
    assert_eq!((a.rejections().total(), b.rejections().total(), a.unsent()), (0, 0, 0));
}

#[test]
fn a_member_that_restarts_is_heard_at_once_and_hears_the_last_word_again() {
    let (a, b) = pair();
    let recorded: Vec<Vec<u8>> = (0..5).map(|i| a.seal(addr(2), &[i]).unwrap()).collect();
    let restarted = node(2, 21);
    let notice = answer(deliver(&restarted, addr(1), &recorded[4]));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!(deliver(&restarted, addr(1), &again), Ok(Got::Body(vec![4])));
    for (old, first) in recorded.iter().zip([true, true, true, true, false]) {
        let why = if first { Rejected::NotForThisStart(NodeId(1)) } else { Rejected::Replayed(NodeId(1)) };
        assert_eq!(deliver(&restarted, addr(1), old), Err(why));
        assert_eq!(deliver(&restarted, addr(1), old), Err(Rejected::Replayed(NodeId(1))));
    }
    // Its former self is not it any more.
    let late = b.seal(addr(1), b"late").unwrap();
    assert_eq!(deliver(&a, addr(2), &late), Err(Rejected::OldSession(NodeId(2))));
}

#[test]
fn a_flood_of_recorded_datagrams_has_a_bounded_answer_and_stops_nobody() {
    let (a, _) = pair();
    let recorded: Vec<Vec<u8>> = (0..500).map(|_| a.seal(addr(2), b"ask").unwrap()).collect();
    let restarted = node(2, 21);
    let answers = recorded.iter().filter(|old| matches!(deliver(&restarted, addr(1), old), Ok(Got::Answer(_)))).count();
    assert_eq!(answers, 10);
    // The next notice, a tenth of a second later, goes to the genuine newest datagram, and everything recorded is refused unread.
    let genuine = a.seal(addr(2), b"ask").unwrap();
    let later = NOW + Duration::from_millis(100);
    assert!(matches!(restarted.open(addr(1), &mut genuine.clone(), later), Ok(Opened::Answer(_))));
    for old in recorded {
        assert_eq!(deliver(&restarted, addr(1), &old), Err(Rejected::Replayed(NodeId(1))));
    }
}

#[test]
fn a_notice_that_teaches_nothing_is_not_answered() {
    let (a, b) = pair();
    let notice = |seal: &Seal, to_session| seal.inner().envelope(true, (NodeId(1), to_session), &[]).unwrap();
    assert_eq!(deliver(&a, addr(2), &notice(&b, 10)), Ok(Got::Nothing));
    assert_eq!(deliver(&a, addr(2), &notice(&b, 9)), Err(Rejected::NotForThisStart(NodeId(2))));
    assert_eq!(deliver(&a, addr(2), &notice(&node(2, 21), 9)), Err(Rejected::NotForThisStart(NodeId(2))));
}

#[test]
fn every_wrong_thing_has_its_reason() {
    let (a, b) = pair();
    let good = a.seal(addr(2), b"ask").unwrap();
    let with = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        deliver(&b, addr(1), &bytes)
    };
    assert_eq!(with(0, b'x'), Err(Rejected::Magic));
    assert_eq!(with(4, 1), Err(Rejected::Version(1)));
    assert_eq!(with(5, 1), Err(Rejected::Kind(1)));
    assert_eq!(with(7, 3), Err(Rejected::Key(KeyId(3))));
    assert_eq!(with(8, 0), Err(Rejected::Cluster));
    assert_eq!(with(23, 9), Err(Rejected::Sender(NodeId(9))));
    // Nobody may speak in this node's own name.
    assert_eq!(with(23, 2), Err(Rejected::Sender(NodeId(2))));
    assert_eq!(with(23, 3), Err(Rejected::Address(NodeId(3))));
    assert_eq!(with(31, 9), Err(Rejected::OldSession(NodeId(1))));
    assert_eq!(with(39, 0), Err(Rejected::Replayed(NodeId(1))));
    assert_eq!(with(49, 4), Err(Rejected::Length));
    assert_eq!(with(60, 0xff), Err(Rejected::Forged(NodeId(1))));
    assert_eq!(deliver(&b, addr(3), &good), Err(Rejected::Address(NodeId(1))));
    assert_eq!(deliver(&b, addr(1), &[0; MAX_DATAGRAM_BYTES + 1]), Err(Rejected::Length));
    assert_eq!(b.rejections().of(Rejected::Length), 2);
    assert_eq!(b.rejections().total(), 14);
    assert_eq!(deliver(&b, addr(1), &good), Ok(Got::Body(b"ask".to_vec())));
}

#[test]
fn a_member_cannot_speak_for_another() {
    let (_, b) = pair();
    // Node 3 knows the ring, and could even send from node 1's address.
    let forger = Seal::new(Kind::Lease, "blue", NodeId(1), 11, key_of(3));
    forger.update(&ring(&[1], 1), &members(&[1, 2, 3]));
    let forged = forger.inner().envelope(false, (NodeId(2), 20), b"release").unwrap();
    assert_eq!(deliver(&b, addr(1), &forged), Err(Rejected::Signature(NodeId(1))));
    // The genuine one is not disturbed by the forged higher session.
    assert_eq!(b.inner().peers[&NodeId(1)].session, 10);
}

#[test]
fn other_receivers_kinds_and_clusters_take_nothing() {
    let (a, b) = pair();
    let good = a.seal(addr(2), b"ask").unwrap();
    // Node 3 has the same session as node 2, and the datagram is sent on with its source forged.
    assert_eq!(deliver(&node(3, 20), addr(1), &good), Err(Rejected::Forged(NodeId(1))));
    // A member that opened it seals it again, signature and all, for another.
    let mut opened = good.clone();
    let Ok(Opened::Body { header, .. }) = b.open(addr(1), &mut opened, NOW) else { panic!("it is for node 2") };
    opened.truncate(opened.len() - TAG_BYTES);
    Opener::derive(&Secret::new([1; 32]), "blue", Kind::Lease, NodeId(1), 10).seal(NodeId(3), &header, HEADER_BYTES, &mut opened);
    assert_eq!(deliver(&node(3, 20), addr(1), &opened), Err(Rejected::Signature(NodeId(1))));
    for (kind, cluster, why) in [(Kind::Gossip, "blue", Rejected::Kind(2)), (Kind::Lease, "green", Rejected::Cluster)] {
        let other = Seal::new(kind, cluster, NodeId(2), 20, key_of(2));
        other.update(&ring(&[1], 1), &members(&[1, 2]));
        assert_eq!(deliver(&other, addr(1), &good), Err(why));
    }
}

#[test]
fn without_a_key_nothing_is_sent_or_taken() {
    let (a, b) = pair();
    let good = a.seal(addr(2), b"ask").unwrap();
    b.update(&KeyRing::default(), &members(&[1, 2, 3]));
    assert_eq!(deliver(&b, addr(1), &good), Err(Rejected::Key(KeyId(1))));
    assert_eq!(b.seal(addr(1), b"yes"), Err(Unsent::NoKey));
    assert_eq!(b.seal(addr(9), b"yes"), Err(Unsent::NotAMember(addr(9))));
    assert_eq!(b.unsent(), 2);
    let untold = Seal::new(Kind::Lease, "blue", NodeId(2), 20, key_of(2));
    assert_eq!(deliver(&untold, addr(1), &good), Err(Rejected::Sender(NodeId(1))));
}

#[test]
fn a_rotation_loses_no_datagram_and_ends_the_old_key() {
    let (a, b) = pair();
    let all = members(&[1, 2, 3]);
    let mut last = Vec::new();
    // Each step reaches one node before the other.
    for step in [ring(&[1, 2], 1), ring(&[1, 2], 2), ring(&[2], 2)] {
        for next in [&a, &b] {
            next.update(&step, &all);
            for (from, to, at, source) in [(&a, &b, addr(2), addr(1)), (&b, &a, addr(1), addr(2))] {
                last = from.seal(at, b"renew").unwrap();
                assert_eq!(deliver(to, source, &last), Ok(Got::Body(b"renew".to_vec())));
            }
        }
    }
    a.update(&ring(&[3], 3), &all);
    assert_eq!(deliver(&a, addr(2), &last), Err(Rejected::Key(KeyId(2))));
}

#[test]
fn whoever_is_removed_is_not_heard_from_that_moment_and_others_are_not_disturbed() {
    let (a, b) = pair();
    let (before, after) = (a.seal(addr(2), b"1").unwrap(), a.seal(addr(2), b"2").unwrap());
    b.update(&ring(&[1], 1), &members(&[1, 2]));
    assert_eq!(deliver(&b, addr(1), &before), Ok(Got::Body(b"1".to_vec())));
    b.update(&ring(&[1], 1), &members(&[2, 3]));
    assert_eq!(deliver(&b, addr(1), &after), Err(Rejected::Sender(NodeId(1))));
    assert_eq!(b.seal(addr(1), b"no"), Err(Unsent::NotAMember(addr(1))));
    assert_eq!(b.inner().peers.len(), 1);
}

#[test]
fn a_member_with_a_new_key_or_address_is_heard_by_these_only() {
    let (a, b) = pair();
    let old = a.seal(addr(2), b"1").unwrap();
    let mut all = members(&[1, 2, 3]);
    all.insert(NodeId(1), (addr(7), key_of(7).public()));
    b.update(&ring(&[1], 1), &all);
    assert_eq!(deliver(&b, addr(1), &old), Err(Rejected::Address(NodeId(1))));
    assert_eq!(deliver(&b, addr(7), &old), Err(Rejected::Signature(NodeId(1))));
    let renewed = Seal::new(Kind::Lease, "blue", NodeId(1), 5, key_of(7));
    renewed.update(&ring(&[1], 1), &all);
    let notice = answer(deliver(&b, addr(7), &renewed.seal(addr(2), b"2").unwrap()));
    let again = answer(deliver(&renewed, addr(2), &notice));
    assert_eq!(deliver(&b, addr(7), &again), Ok(Got::Body(b"2".to_vec())));
}

#[test]
fn a_body_that_fills_a_datagram_passes_and_one_byte_more_does_not() {
    let (a, b) = pair();
    let bytes = a.seal(addr(2), &vec![1; MAX_BODY_BYTES]).unwrap();
    assert_eq!(bytes.len(), MAX_DATAGRAM_BYTES);
    assert_eq!(MAX_DATAGRAM_BYTES, 1232);
    assert!(deliver(&b, addr(1), &bytes).is_ok());
    assert_eq!(a.seal(addr(2), &vec![1; MAX_BODY_BYTES + 1]), Err(Unsent::TooLong(MAX_BODY_BYTES + 1)));
}

#[test]
fn a_line_in_the_log_is_due_once_a_minute_for_each_reason() {
    let b = node(2, 20);
    let at = |seconds| NOW + Duration::from_secs(seconds);
    for _ in 0..3 {
        deliver(&b, addr(1), b"lvs").unwrap_err();
    }
    assert_eq!(b.line_due(Rejected::Length, at(0)), Some(3));
    assert_eq!(b.line_due(Rejected::Length, at(59)), None);
    assert_eq!(b.line_due(Rejected::Magic, at(59)), Some(0));
    assert_eq!(b.line_due(Rejected::Length, at(60)), Some(3));
}

#[test]
fn the_layout_on_the_wire_stays() {
    let (a, _) = pair();
    let bytes = a.seal(addr(2), b"hi").unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let header = ["6c767341", "02", "02", "0001", "16477688c0e00699", "0000000000000001", "000000000000000a"];
    let header = header.concat() + "0000000000000002" + "0000000000000014" + "0002";
    assert_eq!(&hex[..100], header);
    // Made with another implementation of RFC 5869, RFC 8032 and AES-GCM.
    assert_eq!(
        &hex[100..],
        "f0b7339a0955772b02efb9de91ca0de4513198bcc14ebb71628e7d1eac5ad8c91458449d9665969f95fac92446b564d367b5119c50815879b6c7ded6ac91d68f20034a607dfb5814617e556b96ebb3ad7930"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_is_opened_once(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX_BODY_BYTES), 1..20), order: prop::sample::Index) {
        let (a, b) = pair();
        let mut datagrams: Vec<_> = bodies.iter().map(|body| (body, a.seal(addr(2), body).unwrap())).collect();
        let middle = order.index(datagrams.len());
        datagrams.rotate_left(middle);
        for (body, datagram) in &datagrams {
            prop_assert_eq!(deliver(&b, addr(1), datagram), Ok(Got::Body((*body).clone())));
        }
        for (_, datagram) in &datagrams {
            prop_assert_eq!(deliver(&b, addr(1), datagram), Err(Rejected::Replayed(NodeId(1))));
        }
    }

    #[test]
    fn no_changed_or_cut_datagram_is_taken(body in prop::collection::vec(any::<u8>(), 0..100), bit: prop::sample::Index, end: prop::sample::Index) {
        let (a, b) = pair();
        let good = a.seal(addr(2), &body).unwrap();
        let mut changed = good.clone();
        let bit = bit.index(good.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(deliver(&b, addr(1), &changed).is_err());
        prop_assert_eq!(deliver(&b, addr(1), &good[..end.index(good.len())]), Err(Rejected::Length));
        // And none of it keeps the genuine one out.
        prop_assert_eq!(deliver(&b, addr(1), &good), Ok(Got::Body(body)));
    }

    #[test]
    fn random_bytes_are_refused_and_counted(bytes: Vec<u8>, from in 1_u64..9, genuine_head: bool) {
        let (a, b) = pair();
        let mut bytes = bytes;
        if genuine_head {
            bytes.splice(0..0, a.seal(addr(2), b"").unwrap()[..HEADER_BYTES].iter().copied());
        }
        prop_assert!(deliver(&b, addr(from), &bytes).is_err());
        prop_assert_eq!(b.rejections().total(), 1);
    }
}
