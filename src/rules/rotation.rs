//! Decides the next step of the rotation of a gossip key or of the CA. All members have the new one before it is used, and none needs the old one
//! when it is dropped. Pure.
//!
//! Only members that are heard are waited for. A member that is not heard catches up when it is back: it gets the log and a new certificate without
//! a current gossip key and without a valid certificate.

use super::security::{Authorities, KeyRing, MAX_KEYS, Security};
use crate::model::{Fingerprint, KeyId, NodeName};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// A key or CA that has been replaced is dropped so long after. A member that applies the log late still seals with the old key for a while, and a
/// connection that was made with an old certificate can finish its first request.
pub const DROP_AFTER: Duration = Duration::from_secs(60);

/// Which gossip keys and CAs a member has, as it gossips. Empty for a member that has gossiped nothing yet: the rotation waits for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyInventory {
    /// Gossip keys that it accepts.
    pub keys: BTreeSet<KeyId>,
    /// CAs that it trusts.
    pub authorities: BTreeSet<Fingerprint>,
    /// The CA that signed its certificate; `None` for an external CA.
    pub issuer: Option<Fingerprint>,
    /// CAs whose private keys it has.
    pub signs: BTreeSet<Fingerprint>,
}

/// The stage of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RotationStage {
    /// Members fetch this gossip key, which is used once they have it.
    Key(KeyId),
    /// Members fetch this CA, which signs once they trust it.
    Authority(Fingerprint),
    /// Members get certificates of this CA; the former CA is dropped once they have them.
    Certificates(Fingerprint),
}

impl RotationStage {
    /// The stage at present; `None` when no rotation is under way.
    pub fn of(security: &Security) -> Option<Self> {
        let Security { keyring, authorities, .. } = security;
        let renewing = authorities.issuing.filter(|_| authorities.trusted.len() > 1);
        let key = keyring.next().map(Self::Key);
        key.or(authorities.upcoming.map(Self::Authority)).or(renewing.map(Self::Certificates))
    }

    /// The members that the stage waits for.
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
            // A certificate of an external CA does not depend on the cluster's CAs.
            Self::Certificates(ca) => held.authorities.contains(&ca) && held.issuer.is_none_or(|issuer| issuer == ca),
        }
    }
}

impl fmt::Display for RotationStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "gossip key {id} is being distributed"),
            Self::Authority(ca) => write!(f, "ca {ca} is being distributed"),
            Self::Certificates(_) => f.write_str("certificates of the former ca are being replaced"),
        }
    }
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct RotationInput<'a> {
    /// The security part of the replicated state.
    pub security: &'a Security,
    /// The leader, which decides this.
    pub me: &'a NodeName,
    /// The key inventories of the members that are heard, the leader among them.
    pub live: &'a BTreeMap<NodeName, KeyInventory>,
    /// For how long this leader has seen the present primary key as the primary one.
    pub key_age: Duration,
    /// For how long this leader has seen the present issuing CA as the issuing one.
    pub authority_age: Duration,
    /// No node that has left is sent entries of the log any more, so a new key in the log does not reach it.
    pub leavers_are_out: bool,
}

/// The next change. Making it twice does no harm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Make a new gossip key.
    AddKey,
    /// Seal with this one from now on.
    PromoteKey(KeyId),
    /// Stop accepting this one.
    DropKey(KeyId),
    /// Sign with this CA from now on.
    PromoteAuthority(Fingerprint),
    /// Stop trusting this CA.
    DropAuthority(Fingerprint),
}

/// The next change that is needed and safe now, if there is one.
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
    // A CA whose private key no member has cannot sign certificates.
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
