//! Members and strangers who want to be taken for another in a pair, to have recorded datagrams taken, or to have a pair sign or forget for nothing.

use super::*;

/// The ring's only key, as every member has it.
fn key() -> Secret {
    Secret::new([1; 32])
}

/// The datagram with another header.
fn with_header(datagram: &[u8], change: impl Fn(&mut Header)) -> Vec<u8> {
    let mut fields = Fields::read(Kind::Lease, cluster_tag("blue"), datagram).unwrap();
    change(&mut fields.header);
    let mut bytes = Vec::new();
    fields.write(&mut bytes);
    bytes.extend_from_slice(&datagram[HEADER_BYTES..]);
    bytes
}

fn end(seal: &Seal) -> End {
    let inner = seal.inner();
    End { node: inner.me, session: inner.session, public: inner.session_key.public() }
}

/// Both directions still take what is said, paired and at once.
fn undisturbed(a: &Seal, b: &Seal) {
    for (from, to, at, source) in [(a, b, addr(2), addr(1)), (b, a, addr(1), addr(2))] {
        let next = from.seal(at, b"next").unwrap();
        assert_eq!(form(&next), Form::Paired);
        assert_eq!(deliver(to, source, &next), Ok(Got::Body(b"next".to_vec())));
    }
}

#[test]
fn a_member_that_knows_the_ring_cannot_make_a_datagram_of_another_pair() {
    let (a, b) = paired();
    let c = node(3, 30);
    // It knows all public keys, and whatever secret it can compute with its own.
    let ends = [end(&a), end(&b)];
    let publics = [&a, &b, &c].map(|other| end(other).public);
    let secrets = publics.map(|public| c.inner().session_key.agree(public).unwrap());
    for shared in &secrets {
        for ends in [ends, [ends[1], ends[0]], [end(&c), end(&b)]] {
            for cipher in Cipher::for_pair(&key(), shared, "blue", Kind::Lease, ends) {
                let header = Header { sender: NodeId(1), session: 10, sequence: 50, to_session: 20 };
                let key = KeyId(1);
                let fields =
                    Fields { kind: Kind::Lease, form: Form::Paired, key, cluster_tag: cluster_tag("blue"), header, length: 7 };
                let mut forged = Vec::new();
                fields.write(&mut forged);
                forged.extend_from_slice(b"release");
                cipher.seal(NodeId(2), &header, HEADER_BYTES, &mut forged);
                assert_eq!(deliver(&b, addr(1), &forged), Err(Rejected::Forged(NodeId(1))));
            }
        }
    }
    // Nor read what the two say.
    let overheard = a.seal(addr(2), b"ask").unwrap();
    let header = Fields::read(Kind::Lease, cluster_tag("blue"), &overheard).unwrap().header;
    let ring_cipher = Cipher::for_all(&key(), "blue", Kind::Lease, NodeId(1), 10);
    let pair_ciphers = secrets.iter().flat_map(|shared| Cipher::for_pair(&key(), shared, "blue", Kind::Lease, ends));
    for cipher in pair_ciphers.chain([ring_cipher]) {
        assert!(opened(&cipher, NodeId(2), &header, &mut overheard.clone()).is_err());
    }
    assert_eq!(deliver(&b, addr(1), &overheard), Ok(Got::Body(b"ask".to_vec())));
    undisturbed(&a, &b);
}

#[test]
fn what_comes_back_to_its_sender_is_not_taken() {
    let (a, b) = paired();
    let sent = a.seal(addr(2), b"ask").unwrap();
    assert_eq!(deliver(&a, addr(2), &sent), Err(Rejected::Sender(NodeId(1))));
    // As if it were the answer, with the sequence that is due.
    let back = with_header(&sent, |header| (header.sender, header.session, header.to_session) = (NodeId(2), 20, 10));
    assert_eq!(deliver(&a, addr(2), &back), Err(Rejected::Forged(NodeId(2))));
    assert_eq!(deliver(&b, addr(1), &sent), Ok(Got::Body(b"ask".to_vec())));
    undisturbed(&a, &b);
}

#[test]
fn nothing_of_an_earlier_pair_of_sessions_is_taken_or_tried_again() {
    let (a, b) = paired();
    let mut recorded = vec![a.seal(addr(2), b"old").unwrap(), b.seal(addr(1), b"old").unwrap()];
    // Each is started anew in its turn, and they come to speak again.
    let b = node(2, 21);
    let notice = answer(deliver(&b, addr(1), &a.seal(addr(2), b"new").unwrap()));
    answer(deliver(&a, addr(2), &notice)).clone_into(&mut recorded[0]);
    assert_eq!(deliver(&b, addr(1), &recorded[0]), Ok(Got::Body(b"new".to_vec())));
    let reply = b.seal(addr(1), b"yes").unwrap();
    assert_eq!(deliver(&a, addr(2), &reply), Ok(Got::Body(b"yes".to_vec())));
    undisturbed(&a, &b);
    recorded.extend([a.seal(addr(2), b"old").unwrap(), reply, b.seal(addr(1), b"old").unwrap()]);
    let a = node(1, 11);
    let notice = answer(deliver(&a, addr(2), &b.seal(addr(1), b"new").unwrap()));
    let again = answer(deliver(&b, addr(1), &notice));
    assert_eq!(deliver(&a, addr(2), &again), Ok(Got::Body(b"new".to_vec())));
    assert_eq!(deliver(&b, addr(1), &a.seal(addr(2), b"yes").unwrap()), Ok(Got::Body(b"yes".to_vec())));
    undisturbed(&a, &b);

    for old in &recorded {
        for (to, source) in [(&a, addr(2)), (&b, addr(1))] {
            let refused = deliver(to, source, old).unwrap_err();
            assert!(!matches!(refused, Rejected::Forged(_) | Rejected::Signature(_)), "a cipher was spent: {refused}");
            // In the present sessions' names it is tried once, in vain.
            let renamed = with_header(old, |header| {
                let from_a = header.sender == NodeId(1);
                (header.session, header.to_session) = if from_a { (11, 21) } else { (21, 11) };
                header.sequence += 1000;
            });
            let refused = deliver(to, source, &renamed).unwrap_err();
            assert!(matches!(refused, Rejected::Forged(_) | Rejected::Sender(_)), "{refused}");
        }
    }
    undisturbed(&a, &b);
}

#[test]
fn neither_form_can_be_made_the_other() {
    let (a, b) = paired();
    let as_form = |datagram: &[u8], form: Form, length: u16| {
        let fields = Fields::read(Kind::Lease, cluster_tag("blue"), datagram).unwrap();
        let mut bytes = Vec::new();
        Fields { form, length, ..fields }.write(&mut bytes);
        bytes.extend_from_slice(&datagram[HEADER_BYTES..]);
        bytes
    };
    let long = a.seal(addr(2), &[7; 200]).unwrap();
    assert_eq!(deliver(&b, addr(1), &as_form(&long, Form::Signed, 104)), Err(Rejected::Forged(NodeId(1))));
    let signed = a.inner().envelope(Form::Signed, NodeId(2), &[7; 200]).unwrap();
    assert_eq!(deliver(&b, addr(1), &as_form(&signed, Form::Paired, 296)), Err(Rejected::Forged(NodeId(1))));
    let empty = a.inner().envelope(Form::Signed, NodeId(2), &[]).unwrap();
    assert_eq!(deliver(&b, addr(1), &as_form(&empty, Form::Notice, 0)), Err(Rejected::Forged(NodeId(1))));
    for datagram in [long, signed] {
        assert_eq!(deliver(&b, addr(1), &datagram), Ok(Got::Body(vec![7; 200])));
    }
    // No such form.
    let mut both = empty.clone();
    both[5] |= 0xc0;
    assert_eq!(deliver(&b, addr(1), &both), Err(Rejected::Kind(0xc2)));
    undisturbed(&a, &b);
}

/// Whoever drops what one of them is sent makes it sign, and no more.
#[test]
fn a_node_that_hears_nothing_goes_on_in_signed_form() {
    let (a, b) = (node(1, 10), node(2, 20));
    answer(deliver(&b, addr(1), &a.seal(addr(2), b"hello").unwrap()));
    for word in 0..3 {
        let said = b.seal(addr(1), &[word]).unwrap();
        assert_eq!(form(&said), Form::Signed);
        assert_eq!(deliver(&a, addr(2), &said), Ok(Got::Body(vec![word])));
    }
    let reply = a.seal(addr(2), b"yes").unwrap();
    assert_eq!((form(&reply), deliver(&b, addr(1), &reply)), (Form::Paired, Ok(Got::Body(b"yes".to_vec()))));
    undisturbed(&a, &b);
}

#[test]
fn a_key_with_which_everybody_has_the_same_secret_is_refused_with_its_session() {
    let (a, b) = (node(1, 10), node(2, 20));
    let liar = node(1, 11);
    let sign = |public: [u8; 32]| {
        let mut inner = liar.inner();
        let secret = inner.ring.keys[&KeyId(1)].clone();
        let header = Header { sender: NodeId(1), session: 11, sequence: inner.sequence, to_session: 20 };
        inner.sequence += 1;
        let fields =
            Fields { kind: Kind::Lease, form: Form::Signed, key: KeyId(1), cluster_tag: cluster_tag("blue"), header, length: 2 };
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        bytes.extend_from_slice(b"hi");
        bytes.extend_from_slice(&public);
        let signature = inner.node_key.sign(Purpose::Datagram, &signed(NodeId(2), &bytes));
        bytes.extend_from_slice(&signature.0);
        Cipher::for_all(&secret, "blue", Kind::Lease, NodeId(1), 11).seal(NodeId(2), &header, HEADER_BYTES, &mut bytes);
        bytes
    };
    let mut one = [0; 32];
    one[0] = 1;
    for low in [[0; 32], one] {
        assert_eq!(deliver(&b, addr(1), &sign(low)), Err(Rejected::SessionKey(NodeId(1))));
    }
    assert_eq!(b.session_of(NodeId(1)), Some(0));
    answer(deliver(&b, addr(1), &a.seal(addr(2), b"hello").unwrap()));
    assert_eq!(b.session_of(NodeId(1)), Some(10));
    assert_eq!(deliver(&b, addr(1), &sign(end(&liar).public)), Ok(Got::Body(b"hi".to_vec())));
}

/// A member that names another's key as its own gets datagrams that it cannot open, and that the other does not take either.
#[test]
fn a_borrowed_session_key_is_worth_nothing() {
    let (a, b) = paired();
    let borrower = node(3, 20);
    let of_b = SessionKey::from_bytes(&{
        let mut secret = [20; 32];
        secret[7] = 2;
        secret
    });
    assert_eq!(of_b.public(), end(&b).public);
    borrower.inner().session_key = of_b;
    let notice = answer(deliver(&borrower, addr(1), &a.seal(addr(3), b"hello").unwrap()));
    let again = answer(deliver(&a, addr(3), &notice));
    assert_eq!(deliver(&borrower, addr(1), &again), Ok(Got::Body(b"hello".to_vec())));
    let for_3 = a.seal(addr(3), b"release").unwrap();
    assert_eq!(form(&for_3), Form::Paired);
    assert_eq!(deliver(&b, addr(1), &for_3), Err(Rejected::Forged(NodeId(1))));
    undisturbed(&a, &b);
}

#[test]
fn headers_that_anybody_can_write_cost_a_bounded_number_of_notices_and_no_session() {
    let (a, b) = paired();
    let good = a.seal(addr(2), b"ask").unwrap();
    let mut notices = Vec::new();
    for turn in 0..500 {
        for (session, to_session) in [(10, 19), (11, 20), (u64::MAX, 0)] {
            let forged = with_header(&good, |header| {
                (header.session, header.to_session, header.sequence) = (session, to_session, 1 << 40 | turn)
            });
            match deliver(&b, addr(1), &forged) {
                Ok(Got::Answer(notice)) => notices.push(notice),
                Err(Rejected::NotForThisStart(NodeId(1))) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // Of ten, one was sent when the two met.
    assert_eq!(notices.len(), 9);
    // They go to node 1, and tell it what it knows.
    for notice in notices {
        assert_eq!(deliver(&a, addr(2), &notice), Ok(Got::Nothing));
    }
    assert_eq!(deliver(&b, addr(1), &good), Ok(Got::Body(b"ask".to_vec())));
    undisturbed(&a, &b);
}

#[test]
fn no_session_has_number_0() {
    let (a, b) = (node(1, 10), node(2, 20));
    a.inner().session = 0;
    for form in [Form::Signed, Form::Notice] {
        let bytes = a.inner().envelope(form, NodeId(2), &[]).unwrap();
        assert_eq!(deliver(&b, addr(1), &bytes), Err(Rejected::OldSession(NodeId(1))));
    }
}

#[test]
fn a_node_that_has_forgotten_the_other_hears_its_next_word_once() {
    let (a, b) = paired();
    undisturbed(&a, &b);
    b.update(&ring(&[1], 1), &members(&[2, 3]));
    b.update(&ring(&[1], 1), &members(&[1, 2, 3]));
    let said = a.seal(addr(2), b"ask").unwrap();
    let (notice, late) = (answer(deliver(&b, addr(1), &said)), answer(deliver(&b, addr(1), &said)));
    let again = answer(deliver(&a, addr(2), &notice));
    assert_eq!((form(&said), form(&again)), (Form::Paired, Form::Signed));
    assert_eq!(deliver(&b, addr(1), &again), Ok(Got::Body(b"ask".to_vec())));
    assert_eq!(deliver(&a, addr(2), &late), Ok(Got::Nothing));
    assert_eq!(deliver(&a, addr(2), &b.seal(addr(1), b"yes").unwrap()), Ok(Got::Body(b"yes".to_vec())));
    undisturbed(&a, &b);
}

/// A notice that comes after its sender has learned better has nothing said again: it has been taken.
#[test]
fn a_notice_that_is_late_repeats_nothing() {
    let (a, b) = (node(1, 10), node(2, 20));
    // It has heard of node 2 before, which then forgot it.
    let first = answer(deliver(&b, addr(1), &a.seal(addr(2), b"one").unwrap()));
    let second = answer(deliver(&b, addr(1), &a.seal(addr(2), b"two").unwrap()));
    let again = answer(deliver(&a, addr(2), &first));
    assert_eq!(deliver(&b, addr(1), &again), Ok(Got::Body(b"two".to_vec())));
    let reply = b.seal(addr(1), b"yes").unwrap();
    assert_eq!(deliver(&a, addr(2), &reply), Ok(Got::Body(b"yes".to_vec())));
    let third = a.seal(addr(2), b"three").unwrap();
    assert_eq!((form(&third), deliver(&b, addr(1), &third)), (Form::Paired, Ok(Got::Body(b"three".to_vec()))));
    assert_eq!(deliver(&a, addr(2), &second), Ok(Got::Nothing));
    undisturbed(&a, &b);
}

#[test]
fn two_that_start_at_once_both_hear_each_others_first_word() {
    let (a, b) = (node(1, 10), node(2, 20));
    let (from_a, from_b) = (a.seal(addr(2), b"from a").unwrap(), b.seal(addr(1), b"from b").unwrap());
    let (to_a, to_b) = (answer(deliver(&b, addr(1), &from_a)), answer(deliver(&a, addr(2), &from_b)));
    let (again_a, again_b) = (answer(deliver(&a, addr(2), &to_a)), answer(deliver(&b, addr(1), &to_b)));
    assert_eq!(deliver(&b, addr(1), &again_a), Ok(Got::Body(b"from a".to_vec())));
    assert_eq!(deliver(&a, addr(2), &again_b), Ok(Got::Body(b"from b".to_vec())));
    undisturbed(&a, &b);
}
