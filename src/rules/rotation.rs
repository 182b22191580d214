//! What the rotation of a gossip key, or of the CA, needs next: everybody has the new one before it is used, nobody needs the old one when it
//! goes. Pure.
//!
//! Live members count. One that is silent follows when it is back: the log and a new certificate reach it without a gossip key, and without a
//! certificate that still counts.

use super::security::{Authorities, KeyRing, MAX_KEYS, Security};
use crate::model::{Fingerprint, KeyId, NodeName};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// A key or a CA that has been replaced goes so long after that. Everybody has the new one then, but a member that applies the log late seals
/// with the old key for a while, and a connection that was made with an old certificate is not cut off in the middle of its first request.
pub const DROP_AFTER: Duration = Duration::from_secs(60);

/// What a member says it has. Nothing, for one that has not spoken yet: then it holds up what would leave it behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyInventory {
    /// Gossip keys that it accepts.
    pub keys: BTreeSet<KeyId>,
    /// CAs that it trusts.
    pub authorities: BTreeSet<Fingerprint>,
    /// The CA that signed its certificate; `None` where it comes from elsewhere.
    pub issuer: Option<Fingerprint>,
    /// CAs whose private keys it has.
    pub signs: BTreeSet<Fingerprint>,
}

/// What a rotation is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RotationStage {
    /// Members learn this gossip key, which is used once they have it.
    Key(KeyId),
    /// Members learn this CA, which signs once they trust it.
    Authority(Fingerprint),
    /// Members get certificates of this CA; the former goes once they have them.
    Certificates(Fingerprint),
}

impl RotationStage {
    /// `None` where nothing is waited for.
    pub fn of(security: &Security) -> Option<Self> {
        let Security { keyring, authorities, .. } = security;
        let renewing = authorities.issuing.filter(|_| authorities.trusted.len() > 1);
        let key = keyring.next().map(Self::Key);
        key.or(authorities.upcoming.map(Self::Authority)).or(renewing.map(Self::Certificates))
    }

    /// Members that are heard and hold it up.
    pub fn held_up_by(self, live: &BTreeMap<NodeName, KeyInventory>) -> impl Iterator<Item = &NodeName> {
        live.iter().filter(move |(_, held)| !self.is_done_by(held)).map(|(name, _)| name)
    }

    fn is_done(self, live: &BTreeMap<NodeName, KeyInventory>) -> bool {
        self.held_up_by(live).next().is_none()
    }

    fn is_done_by(self, held: &KeyInventory) -> bool {
        match self {
            Self::Key(id) => held.keys.contains(&id),
            Self::Authority(ca) => held.authorities.contains(&ca),
            // A certificate of somebody else's CA does not depend on any of ours.
            Self::Certificates(ca) => held.authorities.contains(&ca) && held.issuer.is_none_or(|issuer| issuer == ca),
        }
    }
}

impl fmt::Display for RotationStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "gossip key {id} is going round"),
            Self::Authority(ca) => write!(f, "ca {ca} is going round"),
            Self::Certificates(_) => f.write_str("certificates of the former ca are being replaced"),
        }
    }
}

/// What there is to decide by.
#[derive(Clone, Copy, Debug)]
pub struct RotationInput<'a> {
    /// As the cluster has agreed.
    pub security: &'a Security,
    /// The leader, which decides this.
    pub me: &'a NodeName,
    /// What the members that are heard say they have, the leader among them.
    pub live: &'a BTreeMap<NodeName, KeyInventory>,
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
pub fn next(input: &RotationInput) -> Option<Wanted> {
    if !input.live.contains_key(input.me) {
        return None;
    }
    key(input, &input.security.keyring).or_else(|| authority(input, &input.security.authorities))
}

fn key(input: &RotationInput, ring: &KeyRing) -> Option<Wanted> {
    let primary = ring.primary?;
    if let Some(next) = ring.next() {
        return RotationStage::Key(next).is_done(input.live).then_some(Wanted::PromoteKey(next));
    }
    let may_drop = input.key_age >= DROP_AFTER && RotationStage::Key(primary).is_done(input.live);
    let former = ring.keys.keys().copied().find(|id| *id != primary).filter(|_| may_drop);
    let renew = ring.stale && input.leavers_are_out && ring.keys.len() < MAX_KEYS;
    former.map(Wanted::DropKey).or(renew.then_some(Wanted::AddKey))
}

fn authority(input: &RotationInput, authorities: &Authorities) -> Option<Wanted> {
    let issuing = authorities.issuing?;
    // Nobody could have a certificate from a CA whose key is with nobody.
    let somebody_signs = |ca: Fingerprint| input.live.values().any(|held| held.signs.contains(&ca));
    if let Some(upcoming) = authorities.upcoming
        && RotationStage::Authority(upcoming).is_done(input.live)
        && somebody_signs(upcoming)
    {
        return Some(Wanted::PromoteAuthority(upcoming));
    }
    if input.authority_age < DROP_AFTER || !RotationStage::Certificates(issuing).is_done(input.live) {
        return None;
    }
    let is_former = |ca: &Fingerprint| *ca != issuing && authorities.upcoming != Some(*ca);
    authorities.trusted.keys().copied().find(is_former).map(Wanted::DropAuthority)
}

#[cfg(test)]
mod tests;
