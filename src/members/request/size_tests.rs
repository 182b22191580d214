//! Sizes of messages, and what hostile bytes do to their decoders.

use super::*;
use crate::peers::{
    HelloRefusal, Question, Reply, Topic,
    hello::{Hello, MAX_HELLO_BYTES, Welcome},
    question::MAX_STRANGERS_QUESTION_BYTES,
};
use crate::{
    link::{
        codec,
        node_key::{NodeKey, Signature},
    },
    model::{Fingerprint, NodeId, NodeName, NodeRecord, PublicKey, Role, Roles, TimingProfile, TokenId},
};
use proptest::prelude::*;

fn signed() -> SignedJoin {
    let key = NodeKey::generate();
    let request = JoinRequest {
        name: "n".repeat(63).parse().unwrap(),
        roles: Roles::new(Role::ALL).unwrap(),
        addr: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65534".parse().unwrap(),
        zone: Some("z".repeat(63).parse().unwrap()),
        key: key.public(),
        version: "v".repeat(64),
        timing: Some(TimingProfile::Wan),
        known: Some(("0123456789abcdef".to_owned(), NodeId(u64::MAX))),
        authority: Some(Fingerprint([255; 32])),
        at_unix_s: u64::MAX,
    };
    let signed = SignedJoin::sign(&request, &key, None).unwrap();
    assert_eq!(*signed.clone().verify().unwrap().request(), request);
    SignedJoin { by_token: Some((TokenId([255; 8]), Signature(vec![255; 64]))), ..signed }
}

fn accepted(nodes: u64) -> JoinAccepted {
    let record = |id: u64| NodeRecord {
        id: NodeId(u64::MAX - id),
        name: format!("n{id:0>62}").parse::<NodeName>().unwrap(),
        roles: Roles::new(Role::ALL).unwrap(),
        addr: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65534".parse().unwrap(),
        zone: Some("z".repeat(63).parse().unwrap()),
        key: PublicKey([255; 32]),
    };
    JoinAccepted {
        cluster_id: "0123456789abcdef".to_owned(),
        id: NodeId(1),
        timing: TimingProfile::Lan,
        nodes: (0..nodes).map(record).collect(),
        authorities: vec![vec![255; 1024]; crate::rules::security::MAX_AUTHORITIES],
    }
}

#[test]
fn the_longest_request_and_the_answer_of_a_large_cluster_fit() {
    let request = codec::encode(&Question::of(&signed()).unwrap(), MAX_STRANGERS_QUESTION_BYTES).unwrap();
    let question = codec::decode::<Question>(&request, MAX_STRANGERS_QUESTION_BYTES).unwrap();
    assert!(question.read::<SignedJoin>().is_ok_and(|read| read.verify().is_ok()));
    let Reply::Answer(bytes) = Reply::to::<SignedJoin>(&Ok(accepted(1000))) else { panic!("the answer is too long") };
    let read: Result<JoinAccepted, JoinRefusal> = codec::decode(&bytes, Topic::Join.answer_limit()).unwrap();
    assert_eq!(read.unwrap(), accepted(1000));
    let refusal = Welcome::No(HelloRefusal::NotYou { says: NodeId(u64::MAX), certificate: "x".repeat(100) });
    assert!(codec::encode(&refusal, MAX_HELLO_BYTES).is_ok());
}

#[test]
fn a_request_that_is_too_long_is_not_signed_and_not_read() {
    let long = SignedJoin { request: vec![0; 3 << 10], ..signed() };
    assert!(matches!(long.clone().verify(), Err(JoinRefusal::Unreadable(_))));
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = codec::decode::<Hello>(&bytes, MAX_HELLO_BYTES);
        let _ = codec::decode::<Welcome>(&bytes, MAX_HELLO_BYTES);
        let _ = codec::decode::<Question>(&bytes, MAX_STRANGERS_QUESTION_BYTES);
        let _ = codec::decode::<Reply>(&bytes, MAX_HELLO_BYTES);
        let _ = codec::decode::<JoinRequest>(&bytes, MAX_REQUEST_BYTES);
        let unsigned = SignedJoin { request: bytes, by_node: Signature(Vec::new()), by_token: None };
        prop_assert!(unsigned.verify().is_err());
    }

    #[test]
    fn a_changed_request_is_refused_or_read_but_never_a_panic(at in 0..400_usize, to: u8, cut in 0..400_usize) {
        let mut bytes = codec::encode(&signed(), MAX_STRANGERS_QUESTION_BYTES).unwrap();
        let length = bytes.len();
        bytes[at % length] = to;
        let _ = codec::decode::<SignedJoin>(&bytes, MAX_STRANGERS_QUESTION_BYTES);
        bytes.truncate(cut);
        prop_assert!(codec::decode::<SignedJoin>(&bytes, MAX_STRANGERS_QUESTION_BYTES).is_err() || cut >= length);
        let answer: Result<JoinAccepted, JoinRefusal> = Ok(accepted(3));
        let mut answer = codec::encode(&answer, Topic::Join.answer_limit()).unwrap();
        let length = answer.len();
        answer[at % length] = to;
        let _ = codec::decode::<Result<JoinAccepted, JoinRefusal>>(&answer, Topic::Join.answer_limit());
    }
}
