//! What each change of who may speak does, and what it refuses.

use super::*;
use crate::{
    model::{NodeId, Role},
    rules::{
        Joining, Refusal, RuleChange,
        fixture::{cluster, founding, joining, name},
    },
};

const OLD: Fingerprint = Fingerprint([1; 32]);
const NEW: Fingerprint = Fingerprint([2; 32]);

fn security() -> Security {
    Security::found(&founding())
}

fn token(uses_left: u32, expires_unix_s: u64) -> Token {
    let roles = Roles::new([Role::RealServer]).unwrap();
    Token { key: PublicKey([9; 32]), roles, uses_left, expires_unix_s, made_by: name("d1") }
}

fn made(id: u8, token: Token) -> SecurityChange {
    SecurityChange::TokenMade { id: TokenId([id; 8]), token, at_unix_s: 50 }
}

fn with_token(mut joining: Joining, at_unix_s: u64) -> RuleChange {
    joining.token = Some(TokenUse { id: TokenId([1; 8]), at_unix_s });
    RuleChange::NodeJoined(joining)
}

#[test]
fn a_token_lets_in_as_many_as_it_says_and_no_more() {
    let mut state = cluster();
    state.apply(&RuleChange::Security(made(1, token(2, 100)))).unwrap();
    for (node, number) in [("r3", 23), ("r4", 24)] {
        assert!(state.apply(&with_token(joining(node, number, Role::RealServer), 99)).is_ok());
    }
    let refused = state.apply(&with_token(joining("r5", 25, Role::RealServer), 99)).unwrap_err();
    assert_eq!(refused, Refusal::Security(SecurityRefusal::NoSuchToken(TokenId([1; 8]))));
    assert_eq!(state.nodes.len(), 6);
}

#[test]
fn an_expired_token_or_one_for_other_roles_lets_nobody_in_and_is_not_used_up() {
    let mut state = cluster();
    state.apply(&RuleChange::Security(made(1, token(1, 100)))).unwrap();
    let late = state.apply(&with_token(joining("r3", 23, Role::RealServer), 100)).unwrap_err();
    assert_eq!(late, Refusal::Security(SecurityRefusal::TokenExpired(TokenId([1; 8]))));
    let wrong = state.apply(&with_token(joining("d3", 13, Role::Director), 99)).unwrap_err();
    assert!(wrong.to_string().contains("token create --roles director"), "{wrong}");
    assert_eq!(state.apply(&with_token(joining("r3", 23, Role::RealServer), 99)), Ok(Some(NodeId(5))));
}

#[test]
fn a_join_that_is_refused_does_not_use_its_token_up() {
    let mut state = cluster();
    state.apply(&RuleChange::Security(made(1, token(1, 100)))).unwrap();
    assert!(matches!(state.apply(&with_token(joining("x", 21, Role::RealServer), 99)), Err(Refusal::AddressTaken { .. })));
    assert_eq!(state.security.tokens[&TokenId([1; 8])].uses_left, 1);
}

#[test]
fn expired_tokens_make_room_for_new_ones() {
    let mut security = security();
    security.apply(&made(1, token(1, 50))).unwrap();
    security.apply(&made(2, token(1, 51))).unwrap();
    assert_eq!(security.tokens.keys().copied().collect::<Vec<_>>(), [TokenId([2; 8])]);
    security.apply(&SecurityChange::TokenRevoked(TokenId([2; 8]))).unwrap();
    assert!(security.apply(&SecurityChange::TokenRevoked(TokenId([2; 8]))).is_err());
}

#[test]
fn a_gossip_key_is_added_promoted_and_then_the_old_one_dropped() {
    let mut security = security();
    let (one, two) = (KeyId(1), KeyId(2));
    security.keyring.stale = true;
    security.apply(&SecurityChange::KeyAdded(Secret::new([2; 32]))).unwrap();
    assert_eq!((security.keyring.primary, security.keyring.next(), security.keyring.stale), (Some(one), Some(two), false));
    assert_eq!(security.apply(&SecurityChange::KeyAdded(Secret::new([3; 32]))), Err(SecurityRefusal::Rotating));
    assert_eq!(security.apply(&SecurityChange::KeyDropped(one)), Err(SecurityRefusal::KeyInUse(one)));
    security.apply(&SecurityChange::KeyPromoted(two)).unwrap();
    security.apply(&SecurityChange::KeyDropped(one)).unwrap();
    assert_eq!(security.keyring.keys.keys().copied().collect::<Vec<_>>(), [two]);
    assert_eq!(security.apply(&SecurityChange::KeyPromoted(one)), Err(SecurityRefusal::NoSuchKey(one)));
}

#[test]
fn key_numbers_go_around_past_0_and_past_what_is_there() {
    let mut security = security();
    security.keyring.last = u16::MAX;
    security.apply(&SecurityChange::KeyAdded(Secret::new([2; 32]))).unwrap();
    assert_eq!(security.keyring.next(), Some(KeyId(2)));
}

#[test]
fn a_ca_is_trusted_before_it_issues_and_tokens_end_with_the_one_that_goes() {
    let mut security = security();
    security.apply(&made(1, token(1, 100))).unwrap();
    security.apply(&SecurityChange::AuthorityAdded { fingerprint: NEW, der: vec![2] }).unwrap();
    assert_eq!((security.authorities.issuing, security.authorities.upcoming), (Some(OLD), Some(NEW)));
    let again = SecurityChange::AuthorityAdded { fingerprint: Fingerprint([3; 32]), der: vec![3] };
    assert_eq!(security.apply(&again), Err(SecurityRefusal::Rotating));
    security.apply(&SecurityChange::AuthorityPromoted(NEW)).unwrap();
    assert_eq!(security.apply(&SecurityChange::AuthorityDropped(NEW)), Err(SecurityRefusal::AuthorityInUse(NEW)));
    assert_eq!(security.tokens.len(), 1);
    security.apply(&SecurityChange::AuthorityDropped(OLD)).unwrap();
    assert_eq!(security.authorities.trusted.keys().copied().collect::<Vec<_>>(), [NEW]);
    assert!(security.tokens.is_empty());
}

#[test]
fn an_upcoming_ca_that_is_given_up_takes_no_token_with_it_and_makes_room_for_another() {
    let mut security = security();
    security.apply(&made(1, token(1, 100))).unwrap();
    security.apply(&SecurityChange::AuthorityAdded { fingerprint: NEW, der: vec![2] }).unwrap();
    security.apply(&SecurityChange::AuthorityDropped(NEW)).unwrap();
    assert_eq!((security.authorities.issuing, security.authorities.upcoming, security.tokens.len()), (Some(OLD), None, 1));
    let another = Fingerprint([3; 32]);
    security.apply(&SecurityChange::AuthorityAdded { fingerprint: another, der: vec![3] }).unwrap();
    assert_eq!(security.authorities.upcoming, Some(another));
}

#[test]
fn who_leaves_makes_the_keyring_stale() {
    let mut state = cluster();
    state.apply(&RuleChange::NodeLeft(name("r2"))).unwrap();
    assert!(state.security.keyring.stale);
}
