//! What the rotation of a gossip key, or of the CA, needs next: everybody has the new one before it is used, nobody needs the old one when it
//! goes. Pure.
//!
//! Live members count. One that is silent follows when it is back: the log and a new certificate reach it without a gossip key, and without a
//! certificate that still counts.

use super::security::{Authorities, KeyRing, MAX_KEYS, Security};
use crate::model::{Fingerprint, KeyId, NodeName};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A key or a CA that has been replaced goes so long after that. Everybody has the new one then, but a member that applies the log late seals
/// with the old key for a while, and a connection that was made with an old certificate is not cut off in the middle of its first request.
pub const DROP_AFTER: Duration = Duration::from_secs(60);

/// What a member says it has. Nothing, for one that has not spoken yet: then it holds up what would leave it behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Gossip keys that it accepts.
    pub keys: BTreeSet<KeyId>,
    /// CAs that it trusts.
    pub authorities: BTreeSet<Fingerprint>,
    /// The CA that signed its certificate; `None` where it comes from elsewhere.
    pub issuer: Option<Fingerprint>,
    /// CAs whose private keys it has.
    pub signs: BTreeSet<Fingerprint>,
}

/// What there is to decide by.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// As the cluster has agreed.
    pub security: &'a Security,
    /// The leader, which decides this.
    pub me: &'a NodeName,
    /// What the members that are heard say they have, the leader among them.
    pub live: &'a BTreeMap<NodeName, Held>,
    /// For how long this leader has seen the present primary key as the primary one.
    pub key_age: Duration,
    /// For how long this leader has seen the present issuing CA as the issuing one.
    pub authority_age: Duration,
    /// Whoever is no member any more gets no entries of the log any more, so that it does not get a new key with them.
    pub leavers_are_out: bool,
}

/// The next change. Each is harmless when it is made a second time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Make a new gossip key.
    AddKey,
    /// Seal with this one from now on.
    PromoteKey(KeyId),
    /// Accept this one no more.
    DropKey(KeyId),
    /// Sign with this CA from now on.
    PromoteAuthority(Fingerprint),
    /// Trust this CA no more.
    DropAuthority(Fingerprint),
}

/// The next change that is wanted and safe now, if there is one.
pub fn next(input: &Input) -> Option<Wanted> {
    if !input.live.contains_key(input.me) {
        return None;
    }
    key(input, &input.security.keyring).or_else(|| authority(input, &input.security.authorities))
}

fn key(input: &Input, ring: &KeyRing) -> Option<Wanted> {
    let primary = ring.primary?;
    let all_have = |id: KeyId| input.live.values().all(|held| held.keys.contains(&id));
    if let Some(next) = ring.next() {
        return all_have(next).then_some(Wanted::PromoteKey(next));
    }
    let may_drop = input.key_age >= DROP_AFTER && all_have(primary);
    let former = ring.keys.keys().copied().find(|id| *id != primary).filter(|_| may_drop);
    let renew = ring.stale && input.leavers_are_out && ring.keys.len() < MAX_KEYS;
    former.map(Wanted::DropKey).or(renew.then_some(Wanted::AddKey))
}

fn authority(input: &Input, authorities: &Authorities) -> Option<Wanted> {
    let issuing = authorities.issuing?;
    let all_trust = |ca: Fingerprint| input.live.values().all(|held| held.authorities.contains(&ca));
    // Nobody could have a certificate from a CA whose key is with nobody.
    let somebody_signs = |ca: Fingerprint| input.live.values().any(|held| held.signs.contains(&ca));
    if let Some(upcoming) = authorities.upcoming
        && all_trust(upcoming)
        && somebody_signs(upcoming)
    {
        return Some(Wanted::PromoteAuthority(upcoming));
    }
    if input.authority_age < DROP_AFTER || !all_trust(issuing) {
        return None;
    }
    let is_former = |ca: &Fingerprint| *ca != issuing && authorities.upcoming != Some(*ca);
    // A certificate of somebody else's CA does not depend on any of ours.
    let all_have_new = input.live.values().all(|held| held.issuer.is_none_or(|issuer| issuer == issuing));
    authorities.trusted.keys().copied().find(is_former).filter(|_| all_have_new).map(Wanted::DropAuthority)
}

#[cfg(test)]
mod tests;
