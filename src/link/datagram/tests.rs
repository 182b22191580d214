//! Nodes that seal for each other, with attackers and a bad network between them.

mod attacks;
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
    let seal = seal_as(id, session, Kind::Lease, "blue");
    seal.update(&ring(&[1], 1), &members(&[1, 2, 3]));
    seal
}

/// The same with another kind or cluster, and before it knows anybody. Each start has a key of its own, the same in every run.
fn seal_as(id: u64, session: u64, kind: Kind, cluster_id: &str) -> Seal {
    let [number, start] = [id, session].map(|number| u8::try_from(number % 251).unwrap());
    let mut secret = [start; 32];
    secret[7] = number;
    Seal::with(SessionKey::from_bytes(&secret), kind, cluster_id, NodeId(id), session, key_of(number))
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
fn paired() -> (Seal, Seal) {
    let (a, b) = (node(1, 10), node(2, 20));
    let notice = answer(deliver(&b, addr(1), &a.seal(addr(2), b"hello").unwrap()));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!(deliver(&b, addr(1), &again), Ok(Got::Body(b"hello".to_vec())));
    (a, b)
}

fn form(datagram: &[u8]) -> Form {
    let kinds = [Kind::Lease, Kind::Gossip];
    kinds.into_iter().find_map(|kind| Fields::read(kind, cluster_tag("blue"), datagram).ok()).unwrap().form
}

#[test]
fn the_first_word_costs_one_round_trip_more_and_the_answer_none() {
    let (a, b) = paired();
    let reply = b.seal(addr(1), b"yes").unwrap();
    assert_eq!(deliver(&a, addr(2), &reply), Ok(Got::Body(b"yes".to_vec())));
    let next = a.seal(addr(2), b"and now").unwrap();
    assert_eq!(deliver(&b, addr(1), &next), Ok(Got::Body(b"and now".to_vec())));
    assert_eq!((a.rejections().total(), b.rejections().total(), a.unsent()), (0, 0, 0));
}

#[test]
fn a_member_that_restarts_is_heard_at_once_and_hears_the_last_word_again() {
    let (a, b) = paired();
    let recorded: Vec<Vec<u8>> = (0..5).map(|i| a.seal(addr(2), &[i]).unwrap()).collect();
    let restarted = node(2, 21);
    let notice = answer(deliver(&restarted, addr(1), &recorded[4]));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!((form(&notice), form(&again)), (Form::Notice, Form::Signed));
    assert_eq!(deliver(&restarted, addr(1), &again), Ok(Got::Body(vec![4])));
    assert_eq!(deliver(&restarted, addr(1), &again), Err(Rejected::Replayed(NodeId(1))));
    for old in &recorded {
        // They are sealed with the former start's key, so nothing is tried, and nothing answered: later ones have been heard.
        assert_eq!(deliver(&restarted, addr(1), old), Err(Rejected::NotForThisStart(NodeId(1))));
    }
    // Its former self is not it any more.
    let late = b.seal(addr(1), b"late").unwrap();
    assert_eq!(deliver(&a, addr(2), &late), Err(Rejected::OldSession(NodeId(2))));
}

#[test]
fn a_flood_of_recorded_datagrams_has_a_bounded_answer_and_stops_nobody() {
    let (a, _) = paired();
    let recorded: Vec<Vec<u8>> = (0..500).map(|_| a.seal(addr(2), b"ask").unwrap()).collect();
    let restarted = node(2, 21);
    let answers = recorded.iter().filter(|old| matches!(deliver(&restarted, addr(1), old), Ok(Got::Answer(_)))).count();
    assert_eq!(answers, 10);
    // The next notice, a tenth of a second later, goes to the genuine newest datagram, and everything recorded is refused unread.
    let genuine = a.seal(addr(2), b"ask").unwrap();
    let later = NOW + Duration::from_millis(100);
    let notice = answer(deliver_at(later, &restarted, addr(1), &genuine));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!(deliver(&restarted, addr(1), &again), Ok(Got::Body(b"ask".to_vec())));
    let much_later = NOW + Duration::from_secs(60);
    for old in recorded {
        let refused = deliver_at(much_later, &restarted, addr(1), &old).unwrap_err();
        assert!(matches!(refused, Rejected::NotForThisStart(_) | Rejected::Replayed(_)), "{refused}");
    }
}

#[test]
fn a_notice_that_teaches_nothing_is_not_answered() {
    let (a, b) = paired();
    let notice = |seal: &Seal| seal.inner().envelope(Form::Notice, NodeId(1), &[]).unwrap();
    assert_eq!(deliver(&a, addr(2), &notice(&b)), Ok(Got::Nothing));
    // For an earlier start of node 1: of the present one of node 2, and of one that node 1 has not heard of.
    for session in [20, 21] {
        let from = node(2, session);
        answer(deliver(&from, addr(1), &node(1, 9).seal(addr(2), b"hello").unwrap()));
        from.inner().sequence += 10;
        assert_eq!(deliver(&a, addr(2), &notice(&from)), Err(Rejected::NotForThisStart(NodeId(2))));
    }
}

#[test]
fn every_wrong_thing_has_its_reason() {
    let (a, b) = paired();
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
    let (_, b) = paired();
    // Node 3 knows the ring, and could even send from node 1's address.
    let forger = Seal::new(Kind::Lease, "blue", NodeId(1), 11, key_of(3));
    forger.update(&ring(&[1], 1), &members(&[1, 2, 3]));
    for form in [Form::Signed, Form::Notice] {
        let body = if form == Form::Signed { &b"release"[..] } else { &[] };
        let forged = forger.inner().envelope(form, NodeId(2), body).unwrap();
        assert_eq!(deliver(&b, addr(1), &forged), Err(Rejected::Signature(NodeId(1))));
    }
    // The genuine one is not disturbed by the forged higher session.
    assert_eq!(b.session_of(NodeId(1)), Some(10));
}

#[test]
fn other_receivers_kinds_and_clusters_take_nothing() {
    let (a, b) = (node(1, 10), node(2, 20));
    // It knows node 2's session already, but not that node 2 knows its own.
    deliver(&a, addr(2), &b.seal(addr(1), b"hello").unwrap()).unwrap();
    let signed = a.seal(addr(2), b"ask").unwrap();
    let (c, d) = paired();
    for (good, what) in [(&signed, Form::Signed), (&c.seal(addr(2), b"ask").unwrap(), Form::Paired)] {
        assert_eq!(form(good), what);
        for (kind, cluster, why) in [(Kind::Gossip, "blue", Rejected::Kind(2)), (Kind::Lease, "green", Rejected::Cluster)] {
            let other = seal_as(2, 20, kind, cluster);
            other.update(&ring(&[1], 1), &members(&[1, 2]));
            let code = good[5];
            let why = if why == Rejected::Kind(2) { Rejected::Kind(code) } else { why };
            assert_eq!(deliver(&other, addr(1), good), Err(why));
        }
    }
    // Node 3 has the same session as node 2, and the datagram is sent on with its source forged.
    assert_eq!(deliver(&node(3, 20), addr(1), &signed), Err(Rejected::Forged(NodeId(1))));
    // A member that opened it seals it again, signature and all, for another.
    let mut opened = signed.clone();
    let Ok(Opened::Body { header, .. }) = b.open(addr(1), &mut opened, NOW) else { panic!("it is for node 2") };
    opened.truncate(opened.len() - TAG_BYTES);
    let cipher = Cipher::for_all(&Secret::new([1; 32]), "blue", Kind::Lease, NodeId(1), 10);
    cipher.seal(NodeId(3), &header, HEADER_BYTES, &mut opened);
    assert_eq!(deliver(&node(3, 20), addr(1), &opened), Err(Rejected::Signature(NodeId(1))));
    // A paired one is nothing to node 3 even where it has sessions of the same numbers with node 1.
    let paired = c.seal(addr(2), b"ask").unwrap();
    let third = node(3, 20);
    let notice = answer(deliver(&third, addr(1), &c.seal(addr(3), b"hello").unwrap()));
    let again = answer(deliver(&c, addr(3), &notice));
    assert_eq!(deliver(&third, addr(1), &again), Ok(Got::Body(b"hello".to_vec())));
    assert_eq!(deliver(&third, addr(1), &paired), Err(Rejected::Forged(NodeId(1))));
    assert_eq!(deliver(&d, addr(1), &paired), Ok(Got::Body(b"ask".to_vec())));
}

#[test]
fn without_a_key_nothing_is_sent_or_taken() {
    let (a, b) = paired();
    let good = a.seal(addr(2), b"ask").unwrap();
    b.update(&KeyRing::default(), &members(&[1, 2, 3]));
    assert_eq!(deliver(&b, addr(1), &good), Err(Rejected::Key(KeyId(1))));
    assert_eq!(b.seal(addr(1), b"yes"), Err(Unsent::NoKey));
    assert_eq!(b.seal(addr(9), b"yes"), Err(Unsent::NotAMember(addr(9))));
    assert_eq!(b.unsent(), 2);
    let untold = seal_as(2, 20, Kind::Lease, "blue");
    assert_eq!(deliver(&untold, addr(1), &good), Err(Rejected::Sender(NodeId(1))));
}

#[test]
fn a_rotation_loses_no_datagram_and_ends_the_old_key() {
    let (a, b) = paired();
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
    let (a, b) = paired();
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
    let (a, b) = paired();
    let old = a.seal(addr(2), b"1").unwrap();
    let mut all = members(&[1, 2, 3]);
    all.insert(NodeId(1), (addr(7), key_of(7).public()));
    b.update(&ring(&[1], 1), &all);
    assert_eq!(deliver(&b, addr(1), &old), Err(Rejected::Address(NodeId(1))));
    // What it sealed with its former key's session cannot be opened any more; its notice tells whoever is there now.
    assert_eq!(form(&answer(deliver(&b, addr(7), &old))), Form::Notice);
    let signed = a.inner().envelope(Form::Signed, NodeId(2), b"1").unwrap();
    assert_eq!(deliver(&b, addr(7), &signed), Err(Rejected::Signature(NodeId(1))));
    let renewed = Seal::new(Kind::Lease, "blue", NodeId(1), 5, key_of(7));
    renewed.update(&ring(&[1], 1), &all);
    let notice = answer(deliver(&b, addr(7), &renewed.seal(addr(2), b"2").unwrap()));
    let again = answer(deliver(&renewed, addr(2), &notice));
    assert_eq!(deliver(&b, addr(7), &again), Ok(Got::Body(b"2".to_vec())));
}

#[test]
fn a_body_that_fills_a_datagram_passes_and_one_byte_more_does_not() {
    let (a, b) = paired();
    let body = vec![1; MAX_BODY_BYTES];
    let bytes = a.inner().envelope(Form::Signed, NodeId(2), &body).unwrap();
    assert_eq!(bytes.len(), MAX_DATAGRAM_BYTES);
    assert_eq!(MAX_DATAGRAM_BYTES, 1232);
    assert_eq!(deliver(&b, addr(1), &bytes), Ok(Got::Body(body.clone())));
    let bytes = a.seal(addr(2), &body).unwrap();
    assert_eq!(bytes.len(), MAX_DATAGRAM_BYTES - 96);
    assert_eq!(deliver(&b, addr(1), &bytes), Ok(Got::Body(body)));
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

/// Bodies as they were made with other implementations of RFC 5869, RFC 7748, RFC 8032 and AES-GCM.
#[test]
fn the_layout_on_the_wire_stays() {
    let (a, _) = paired();
    let signed = a.inner().envelope(Form::Signed, NodeId(2), b"hi").unwrap();
    let notice = a.inner().envelope(Form::Notice, NodeId(2), b"").unwrap();
    let paired = a.seal(addr(2), b"hi").unwrap();
    for (bytes, code, sequence, length, sealed) in
        [(signed, "42", "02", "02", SIGNED), (notice, "82", "03", "00", NOTICE), (paired, "02", "04", "02", PAIRED)]
    {
        let hex = data_encoding::HEXLOWER.encode(&bytes);
        let header = ["6c767341", "04", code, "0001", "16477688c0e00699", "0000000000000001", "000000000000000a"].concat();
        assert_eq!(&hex[..100], format!("{header}00000000000000{sequence}000000000000001400{length}"));
        assert_eq!(&hex[100..], sealed);
    }
}

const SIGNED: &str = concat!(
    "9ecf4ffa99daab9c3ad525060f52a3e08b6e6b801ab1a896d34d74e74e29d9e58e400939890ff73a5c601b0cc3ba6e8b1398ef97da351a5677a622f6",
    "62780a5f16cc51a598f1f2e75d3342c6888c10273a8e742c923f947fc71d1b94856125a3281494de2922dece4bf224b4740f4f72be4b",
);
const NOTICE: &str = concat!(
    "05fbff3e33d71f6e966442d08cb2802cbc1f971d7c023b6e03b39822538d1901282b00008c610a678190e177a0881d724d0e9b65c56ce7717f805db9",
    "4865cd02bd075ebd170e32d534f64d0761402e19caef7f17aff32e3d907757a797d3c23b6adb35f26b3deb6a10269c8ab3109f2d",
);
const PAIRED: &str = "9f45537131938cc2769f540ca2685a9a0e3a";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_is_opened_once(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..MAX_BODY_BYTES), 1..20), order: prop::sample::Index) {
        let (a, b) = paired();
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
    fn no_changed_or_cut_datagram_is_taken(
        body in prop::collection::vec(any::<u8>(), 0..100), bit: prop::sample::Index, end: prop::sample::Index, signed: bool
    ) {
        let (a, b) = paired();
        let form = if signed { Form::Signed } else { Form::Paired };
        let good = a.inner().envelope(form, NodeId(2), &body).unwrap();
        let mut changed = good.clone();
        let bit = bit.index(good.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        // In another session's name it may have a notice sent to the member, which is all that a header can do.
        let came = deliver(&b, addr(1), &changed);
        prop_assert!(came.is_err() || matches!(&came, Ok(Got::Answer(notice)) if Form::Notice == self::form(notice)), "{came:?}");
        prop_assert_eq!(deliver(&b, addr(1), &good[..end.index(good.len())]), Err(Rejected::Length));
        // And none of it keeps the genuine one out.
        prop_assert_eq!(deliver(&b, addr(1), &good), Ok(Got::Body(body)));
    }

    #[test]
    fn random_bytes_are_refused_and_counted(bytes: Vec<u8>, from in 1_u64..9, genuine_head: bool) {
        let (a, b) = paired();
        let mut bytes = bytes;
        if genuine_head {
            bytes.splice(0..0, a.seal(addr(2), b"").unwrap()[..HEADER_BYTES].iter().copied());
        }
        prop_assert!(deliver(&b, addr(from), &bytes).is_err());
        prop_assert_eq!(b.rejections().total(), 1);
    }
}
