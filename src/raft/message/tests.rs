//! Sizes of messages, and what hostile bytes do to their decoders.

use super::*;
use crate::{
    link::{
        codec,
        node_key::{NodeKey, Signature},
    },
    model::{NodeName, NodeRecord, PublicKey, Role, Roles, TimingProfile, TokenId},
    raft::JoinRequest,
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
    assert_eq!(signed.open().unwrap(), request);
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
    let request = codec::encode(&Request::Join(signed()), MAX_JOIN_BYTES).unwrap();
    assert!(codec::decode::<Request>(&request, MAX_JOIN_BYTES).is_ok());
    let answer = Response::Joined(Ok(accepted(1000)));
    let bytes = codec::encode(&answer, MAX_ACCEPTED_BYTES).unwrap();
    assert!(matches!(codec::decode(&bytes, MAX_ACCEPTED_BYTES), Ok(Response::Joined(Ok(read))) if read == accepted(1000)));
    let refusal = Response::Refused(HelloRefusal::NotYou { says: NodeId(u64::MAX), certificate: "x".repeat(100) });
    assert!(codec::encode(&refusal, MAX_HELLO_BYTES).is_ok());
}

#[test]
fn a_request_that_is_too_long_is_not_signed_and_not_read() {
    let long = SignedJoin { request: vec![0; 3 << 10], ..signed() };
    assert!(matches!(long.open(), Err(JoinRefusal::Unreadable(_))));
    assert_eq!(long.claimed_name(), None);
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = codec::decode::<Hello>(&bytes, MAX_HELLO_BYTES);
        let _ = codec::decode::<Welcome>(&bytes, MAX_HELLO_BYTES);
        let _ = codec::decode::<Request>(&bytes, MAX_JOIN_BYTES);
        let _ = codec::decode::<Response>(&bytes, MAX_ANSWER_BYTES);
        let _ = codec::decode::<JoinRequest>(&bytes, MAX_JOIN_BYTES);
        let unsigned = SignedJoin { request: bytes, by_node: Signature(Vec::new()), by_token: None };
        prop_assert!(unsigned.open().is_err());
        let _ = unsigned.claimed_name();
    }

    #[test]
    fn a_changed_request_is_refused_or_read_but_never_a_panic(at in 0..400_usize, to: u8, cut in 0..400_usize) {
        let mut bytes = codec::encode(&Request::Join(signed()), MAX_JOIN_BYTES).unwrap();
        let length = bytes.len();
        bytes[at % length] = to;
        let _ = codec::decode::<Request>(&bytes, MAX_JOIN_BYTES);
        bytes.truncate(cut);
        prop_assert!(codec::decode::<Request>(&bytes, MAX_JOIN_BYTES).is_err() || cut >= length);
        let mut answer = codec::encode(&Response::Joined(Ok(accepted(3))), MAX_ACCEPTED_BYTES).unwrap();
        let length = answer.len();
        answer[at % length] = to;
        let _ = codec::decode::<Response>(&answer, MAX_ACCEPTED_BYTES);
    }
}
