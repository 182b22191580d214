//! What each change of who may speak does, and what it refuses.

use super::*;
use crate::{
    model::{NodeId, Role},
    rules::{
        Command, CommandRefusal, Joining,
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
    Token { key: PublicKey([9; 32]), roles, uses_left, expires_unix_s, made_by: name("d1"), authority: OLD }
}

fn made(id: u8, token: Token) -> SecurityChange {
    SecurityChange::TokenMade { id: TokenId([id; 8]), token, at_unix_s: 50 }
}

fn with_token(mut joining: Joining, at_unix_s: u64) -> Command {
    joining.token = Some(TokenUse { id: TokenId([1; 8]), at_unix_s });
    Command::NodeJoined(joining)
}

#[test]
fn a_token_lets_in_as_many_as_it_says_and_no_more() {
    let mut state = cluster();
    state.apply(&Command::Security(made(1, token(2, 100)))).unwrap();
    for (node, number) in [("r3", 23), ("r4", 24)] {
        assert!(state.apply(&with_token(joining(node, number, Role::RealServer), 99)).is_ok());
    }
    let refused = state.apply(&with_token(joining("r5", 25, Role::RealServer), 99)).unwrap_err();
    assert_eq!(refused, CommandRefusal::Security(SecurityRefusal::NoSuchToken(TokenId([1; 8]))));
    assert_eq!(state.nodes.len(), 6);
    let revoked = state.apply(&Command::Security(SecurityChange::TokenRevoked(TokenId([1; 8])))).unwrap_err();
    assert_eq!(revoked, CommandRefusal::Security(SecurityRefusal::NotThere(TokenId([1; 8]))), "whoever revokes it joins nothing");
}

#[test]
fn an_expired_token_or_one_for_other_roles_lets_nobody_in_and_is_not_used_up() {
    let mut state = cluster();
    state.apply(&Command::Security(made(1, token(1, 100)))).unwrap();
    let late = state.apply(&with_token(joining("r3", 23, Role::RealServer), 100)).unwrap_err();
    assert_eq!(late, CommandRefusal::Security(SecurityRefusal::TokenExpired(TokenId([1; 8]))));
    assert!(late.to_string().contains("by the clock of the leader"), "{late}");
    let wrong = state.apply(&with_token(joining("d3", 13, Role::Director), 99)).unwrap_err();
    assert!(wrong.to_string().contains("token create --roles director"), "{wrong}");
    assert_eq!(state.apply(&with_token(joining("r3", 23, Role::RealServer), 99)), Ok(Some(NodeId(5))));
}

#[test]
fn a_join_that_is_refused_does_not_use_its_token_up() {
    let mut state = cluster();
    state.apply(&Command::Security(made(1, token(1, 100)))).unwrap();
    assert!(matches!(state.apply(&with_token(joining("x", 21, Role::RealServer), 99)), Err(CommandRefusal::AddressTaken { .. })));
    assert_eq!(state.security.tokens[&TokenId([1; 8])].uses_left, 1);
}

fn made_at(id: u16, expires_unix_s: u64, at_unix_s: u64) -> SecurityChange {
    SecurityChange::TokenMade { id: numbered(id), token: token(1, expires_unix_s), at_unix_s }
}

fn numbered(id: u16) -> TokenId {
    let [high, low] = id.to_be_bytes();
    TokenId([high, low, 0, 0, 0, 0, 0, 0])
}

#[test]
fn a_clock_that_is_ahead_takes_no_token_from_others_and_a_day_later_it_is_forgotten() {
    let mut security = security();
    security.apply(&made_at(1, 100, 50)).unwrap();
    // Another director's clock is hours ahead: for it, the first one is long over.
    security.apply(&made_at(2, 50_100, 50_000)).unwrap();
    let roles = Roles::new([Role::RealServer]).unwrap();
    assert!(security.check_token(&TokenUse { id: numbered(1), at_unix_s: 99 }, &roles).is_ok());
    security.apply(&made_at(3, 100_000, 100 + 86_400)).unwrap();
    assert_eq!(security.tokens.keys().copied().collect::<Vec<_>>(), [numbered(2), numbered(3)]);
}

#[test]
fn expired_tokens_make_room_for_new_ones_and_valid_ones_do_not() {
    let mut security = security();
    for id in 0..1000 {
        security.apply(&made_at(id, 100, 50)).unwrap();
    }
    let before = security.clone();
    let full = SecurityRefusal::TooMany(MAX_TOKENS, "tokens".to_owned());
    assert_eq!(security.apply(&made_at(1000, 200, 99)), Err(full));
    assert_eq!(security, before);
    security.apply(&made_at(1000, 200, 100)).unwrap();
    assert_eq!(security.tokens.keys().copied().collect::<Vec<_>>(), [numbered(1000)]);
    security.apply(&SecurityChange::TokenRevoked(numbered(1000))).unwrap();
    assert!(security.apply(&SecurityChange::TokenRevoked(numbered(1000))).is_err());
}

#[test]
fn a_token_lasts_as_long_as_its_maker_said_by_the_clock_that_it_is_used_by() {
    let stamped = Command::Security(made_at(1, 5000, 1400)).by_clock(100);
    assert_eq!(stamped, Command::Security(made_at(1, 3700, 100)));
    let other = Command::NodeLeft(name("r1"));
    assert_eq!(other.clone().by_clock(100), other);
}

#[test]
fn a_gossip_key_is_added_promoted_and_then_the_old_one_dropped() {
    let mut security = security();
    let (one, two) = (KeyId(1), KeyId(2));
    security.apply(&key_added(2, None)).unwrap();
    assert_eq!((security.keyring.primary, security.keyring.next()), (Some(one), Some(two)));
    assert_eq!(security.apply(&key_added(3, None)), Err(SecurityRefusal::Rotating));
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
    security.apply(&key_added(2, None)).unwrap();
    assert_eq!(security.keyring.next(), Some(KeyId(2)));
}

#[test]
fn a_ca_is_trusted_before_it_issues_and_what_it_has_made_ends_with_it() {
    let mut security = security();
    security.apply(&made(1, token(1, 100))).unwrap();
    security.apply(&known("ann", OLD)).unwrap();
    assert_eq!(security.apply(&made(2, Token { authority: NEW, ..token(1, 100) })), Err(SecurityRefusal::NoSuchAuthority(NEW)));
    security.apply(&SecurityChange::AuthorityAdded { fingerprint: NEW, der: vec![2] }).unwrap();
    assert_eq!((security.authorities.issuing, security.authorities.upcoming), (Some(OLD), Some(NEW)));
    let again = SecurityChange::AuthorityAdded { fingerprint: Fingerprint([3; 32]), der: vec![3] };
    assert_eq!(security.apply(&again), Err(SecurityRefusal::Rotating));
    security.apply(&SecurityChange::AuthorityPromoted(NEW)).unwrap();
    assert_eq!(security.apply(&SecurityChange::AuthorityDropped(NEW)), Err(SecurityRefusal::AuthorityInUse(NEW)));
    security.apply(&made(2, Token { authority: NEW, ..token(1, 100) })).unwrap();
    security.apply(&known("bob", NEW)).unwrap();
    assert_eq!((security.tokens.len(), security.identities.len()), (2, 2));
    security.apply(&SecurityChange::AuthorityDropped(OLD)).unwrap();
    assert_eq!(security.authorities.trusted.keys().copied().collect::<Vec<_>>(), [NEW]);
    assert_eq!(security.tokens.keys().copied().collect::<Vec<_>>(), [TokenId([2; 8])]);
    assert_eq!(security.identities.keys().cloned().collect::<Vec<_>>(), [name("bob")]);
    assert_eq!(security.apply(&known("eve", OLD)), Err(SecurityRefusal::NoSuchAuthority(OLD)), "made before, committed after");
}

fn known(who: &str, authority: Fingerprint) -> SecurityChange {
    let identity = RemoteIdentity { access: Access::ReadOnly, certificate: Fingerprint([7; 32]), expires_unix_s: 100, authority };
    SecurityChange::IdentityAdded { name: name(who), identity }
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
    state.apply(&Command::NodeLeft(name("r2"))).unwrap();
    assert!(state.security.keyring.stale);
}

#[test]
fn only_a_key_that_nobody_who_left_hears_of_follows_those_that_they_know() {
    let mut security = security();
    assert!(!is_stale_after(&mut security, &key_added(2, None)));
    security.keyring.somebody_left();
    assert!(is_stale_after(&mut security, &key_added(3, None)), "an administrator does not know who still hears of it");
    assert!(is_stale_after(&mut security, &key_added(4, Some(0))), "another left between");
    security.apply(&SecurityChange::KeyDropped(KeyId(1))).unwrap();
    assert!(!is_stale_after(&mut security, &key_added(5, Some(1))));
}

fn is_stale_after(security: &mut Security, added: &SecurityChange) -> bool {
    security.apply(added).unwrap();
    security.apply(&SecurityChange::KeyPromoted(security.keyring.next().unwrap())).unwrap();
    security.keyring.stale
}

fn key_added(byte: u8, departures: Option<u64>) -> SecurityChange {
    SecurityChange::KeyAdded { key: Secret::new([byte; 32]), departures }
}
