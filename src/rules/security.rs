//! Who may speak in the cluster, as the Raft log has it: CAs, the gossip keyring, join tokens, remote identities.

use super::barred::Barred;
use crate::model::{Access, Fingerprint, IdentityName, KeyId, NodeId, NodeName, PublicKey, Roles, Secret, TokenId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

mod refusal;

pub use refusal::SecurityRefusal;

/// Most join tokens at a time; expired ones make room.
pub const MAX_TOKENS: usize = 1000;
/// An expired token is forgotten so long after, unless there is no room.
const FORGOTTEN_AFTER_S: u64 = 86_400;
/// Most remote identities.
pub const MAX_IDENTITIES: usize = 1000;
/// Most CAs that are trusted at a time: one, and the next while certificates change over.
pub const MAX_AUTHORITIES: usize = 4;
/// Most gossip keys that are accepted at a time.
pub const MAX_KEYS: usize = 4;

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Security {
    /// The cluster's own CAs. Empty where certificates come from elsewhere (`[tls]` in agent.toml).
    pub authorities: Authorities,
    /// What datagrams are sealed with.
    pub keyring: KeyRing,
    /// Join tokens that were made and neither used up nor revoked.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Who may use the remote API with a certificate of the cluster's CA.
    pub identities: BTreeMap<IdentityName, RemoteIdentity>,
    /// Removed nodes with certificates of somebody else's CA. Always empty where the cluster has one of its own.
    pub barred: Barred,
}

/// The cluster's own CAs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Authorities {
    /// The one that signs new certificates.
    pub issuing: Option<Fingerprint>,
    /// The one that will, once all members trust it: a rotation is under way.
    pub upcoming: Option<Fingerprint>,
    /// Certificates (DER) of all whose signatures count.
    pub trusted: BTreeMap<Fingerprint, Vec<u8>>,
}

/// The keys that datagrams are sealed with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyRing {
    /// The one to seal with.
    pub primary: Option<KeyId>,
    /// All that are accepted.
    pub keys: BTreeMap<KeyId, Secret>,
    /// Numbers given so far.
    pub last: u16,
    /// A node has left that knows these keys: they must be followed by another.
    pub stale: bool,
    /// How many have left so far.
    pub departures: u64,
}

/// Who may speak by datagrams, and what those are sealed with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerKeys {
    /// Gossip keys.
    pub keyring: KeyRing,
    /// Members: where each speaks from, and what it signs with.
    pub members: BTreeMap<NodeId, (SocketAddr, PublicKey)>,
    /// Members by name, for words that others pass on.
    pub names: BTreeMap<NodeName, NodeId>,
}

/// A join token, without what makes it one: only its holder can sign with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Checks the holder's signature.
    pub key: PublicKey,
    /// A node that joins with it may have these roles or some of them.
    pub roles: Roles,
    /// How many nodes may still join with it.
    pub uses_left: u32,
    /// Worth nothing from then on. Unix seconds.
    pub expires_unix_s: u64,
    /// Who made it.
    pub made_by: NodeName,
    /// The CA that it proves to whoever joins with it; it ends with that.
    pub authority: Fingerprint,
}

/// A token was used. What the clock said is part of the entry, because applying it has no clock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenUse {
    /// Which.
    pub id: TokenId,
    /// When, by the leader's clock. Unix seconds.
    pub at_unix_s: u64,
}

/// A person or a program that may use the remote API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoteIdentity {
    /// What it may do.
    pub access: Access,
    /// SHA-256 of its certificate: another one with the same name is not it.
    pub certificate: Fingerprint,
    /// When the certificate ends. Unix seconds.
    pub expires_unix_s: u64,
    /// Who has signed the certificate; it ends with that.
    pub authority: Fingerprint,
}

/// What the first entry of a cluster brings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Founding {
    /// The cluster's CA, fingerprint and DER; `None` where certificates come from elsewhere.
    pub authority: Option<(Fingerprint, Vec<u8>)>,
    /// The first gossip key.
    pub key: Secret,
}

/// A change of who may speak.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SecurityChange {
    /// A token is made. `at_unix_s`: long expired ones are forgotten.
    TokenMade {
        /// Its name.
        id: TokenId,
        /// What it is worth.
        token: Token,
        /// The leader's clock, see [`Command::by_clock`](super::Command::by_clock).
        at_unix_s: u64,
    },
    /// A token is worth nothing any more.
    TokenRevoked(TokenId),
    /// A gossip key is accepted from now on, and used once it is promoted.
    KeyAdded {
        /// It.
        key: Secret,
        /// [`KeyRing::departures`] when whoever made it knew that none of those who left is sent entries any more; `None`: that was not looked at.
        departures: Option<u64>,
    },
    /// Datagrams are sealed with this key from now on.
    KeyPromoted(KeyId),
    /// A key is accepted no more.
    KeyDropped(KeyId),
    /// A CA is trusted from now on, and issues once it is promoted.
    AuthorityAdded {
        /// SHA-256 of `der`.
        fingerprint: Fingerprint,
        /// Its certificate.
        der: Vec<u8>,
    },
    /// New certificates are signed by this CA from now on.
    AuthorityPromoted(Fingerprint),
    /// A CA is trusted no more; its tokens, which prove it to joining nodes, and its identities end with it.
    AuthorityDropped(Fingerprint),
    /// A remote identity is known from now on; an older one of that name is not it any more.
    IdentityAdded {
        /// Its name.
        name: IdentityName,
        /// What it may do, and how it is known.
        identity: RemoteIdentity,
    },
    /// A remote identity is worth nothing any more.
    IdentityRevoked(IdentityName),
    /// A node that was removed may come back with its certificate.
    NodeAllowed(NodeName),
}

impl Security {
    pub(super) fn found(founding: &Founding) -> Self {
        let first = KeyId(1);
        let authorities = match &founding.authority {
            Some((fingerprint, der)) => {
                let trusted = BTreeMap::from([(*fingerprint, der.clone())]);
                Authorities { issuing: Some(*fingerprint), upcoming: None, trusted }
            }
            None => Authorities::default(),
        };
        let keys = BTreeMap::from([(first, founding.key.clone())]);
        let keyring = KeyRing { primary: Some(first), keys, last: first.0, stale: false, departures: 0 };
        Self { authorities, keyring, ..Self::default() }
    }

    /// Certificates come from somebody else's CA.
    pub fn is_foreign(&self) -> bool {
        self.authorities.issuing.is_none()
    }

    pub(super) fn apply(&mut self, change: &SecurityChange) -> Result<(), SecurityRefusal> {
        match change {
            SecurityChange::TokenMade { id, token, at_unix_s } => self.make_token(*id, token, *at_unix_s),
            SecurityChange::TokenRevoked(id) => self.tokens.remove(id).map(|_| ()).ok_or(SecurityRefusal::NotThere(*id)),
            SecurityChange::KeyAdded { key, departures } => self.keyring.add(key, *departures),
            SecurityChange::KeyPromoted(id) => self.keyring.promote(*id),
            SecurityChange::KeyDropped(id) => self.keyring.drop_key(*id),
            SecurityChange::AuthorityAdded { fingerprint, der } => self.authorities.add(*fingerprint, der),
            SecurityChange::AuthorityPromoted(fingerprint) => self.authorities.promote(*fingerprint),
            SecurityChange::AuthorityDropped(fingerprint) => {
                self.authorities.drop_authority(*fingerprint)?;
                self.tokens.retain(|_, token| token.authority != *fingerprint);
                self.identities.retain(|_, identity| identity.authority != *fingerprint);
                Ok(())
            }
            SecurityChange::IdentityAdded { name, identity } => {
                self.authorities.check(identity.authority)?;
                if self.identities.len() >= MAX_IDENTITIES && !self.identities.contains_key(name) {
                    return Err(SecurityRefusal::TooMany(MAX_IDENTITIES, "remote identities".to_owned()));
                }
                self.identities.insert(name.clone(), identity.clone());
                Ok(())
            }
            SecurityChange::IdentityRevoked(name) => {
                self.identities.remove(name).map(|_| ()).ok_or_else(|| SecurityRefusal::NoSuchIdentity(name.clone()))
            }
            SecurityChange::NodeAllowed(name) if self.is_foreign() => self.barred.lift(name),
            SecurityChange::NodeAllowed(name) => Err(SecurityRefusal::NeedsToken(name.clone())),
        }
    }

    fn make_token(&mut self, id: TokenId, token: &Token, now: u64) -> Result<(), SecurityRefusal> {
        self.authorities.check(token.authority)?;
        let is_over = |token: &Token, for_s: u64| token.expires_unix_s.saturating_add(for_s) <= now;
        if self.tokens.values().filter(|token| !is_over(token, 0)).count() >= MAX_TOKENS {
            return Err(SecurityRefusal::TooMany(MAX_TOKENS, "tokens".to_owned()));
        }
        // A leader whose clock is ahead takes nobody's token away for good while there is room.
        let keep_s = if self.tokens.len() < MAX_TOKENS { FORGOTTEN_AFTER_S } else { 0 };
        self.tokens.retain(|_, token| !is_over(token, keep_s));
        self.tokens.insert(id, token.clone());
        Ok(())
    }

    /// Whether a token lets a node with `roles` in at this time. The holder's signature is checked by whoever proposes the use.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check_token(&self, token: &TokenUse, roles: &Roles) -> Result<&Token, SecurityRefusal> {
        let known = self.tokens.get(&token.id).ok_or(SecurityRefusal::NoSuchToken(token.id))?;
        if token.at_unix_s >= known.expires_unix_s {
            return Err(SecurityRefusal::TokenExpired(token.id));
        }
        if !roles.iter().all(|role| known.roles.has(role)) {
            let asked: Vec<String> = roles.iter().map(|role| role.to_string()).collect();
            let (allowed, asked) = (known.roles.to_string(), asked.join(","));
            return Err(SecurityRefusal::TokenRoles { id: token.id, allowed, asked });
        }
        Ok(known)
    }

    pub(super) fn use_token(&mut self, token: &TokenUse, roles: &Roles) -> Result<(), SecurityRefusal> {
        let left = self.check_token(token, roles)?.uses_left.saturating_sub(1);
        if left == 0 {
            self.tokens.remove(&token.id);
        } else if let Some(known) = self.tokens.get_mut(&token.id) {
            known.uses_left = left;
        }
        Ok(())
    }
}

impl KeyRing {
    /// A node that knows the keys is no member any more.
    pub(super) fn somebody_left(&mut self) {
        self.stale = true;
        self.departures = self.departures.wrapping_add(1);
    }

    fn add(&mut self, secret: &Secret, departures: Option<u64>) -> Result<(), SecurityRefusal> {
        if self.keys.values().any(|known| known == secret) {
            // Asked a second time, by whoever was not told that it was done.
            return Ok(());
        }
        if self.next().is_some() || self.keys.len() >= MAX_KEYS {
            return Err(SecurityRefusal::Rotating);
        }
        // Around after 65,535 rotations, past 0, which is no key's, and past keys that are still there.
        let next = |id: u16| id.checked_add(1).unwrap_or(1);
        let mut id = next(self.last);
        while self.keys.contains_key(&KeyId(id)) {
            id = next(id);
        }
        self.last = id;
        self.keys.insert(KeyId(id), secret.clone());
        // Of a key that was made before somebody left, or while one that left still followed the log, that one may know.
        self.stale &= departures != Some(self.departures);
        Ok(())
    }

    fn promote(&mut self, id: KeyId) -> Result<(), SecurityRefusal> {
        if !self.keys.contains_key(&id) {
            return Err(SecurityRefusal::NoSuchKey(id));
        }
        self.primary = Some(id);
        Ok(())
    }

    fn drop_key(&mut self, id: KeyId) -> Result<(), SecurityRefusal> {
        if self.primary == Some(id) {
            return Err(SecurityRefusal::KeyInUse(id));
        }
        self.keys.remove(&id).map(|_| ()).ok_or(SecurityRefusal::NoSuchKey(id))
    }

    /// The key that was added last, while it is not in use yet.
    pub fn next(&self) -> Option<KeyId> {
        Some(KeyId(self.last)).filter(|id| self.keys.contains_key(id) && self.primary != Some(*id))
    }
}

impl Authorities {
    /// What is made in the name of a CA is worth nothing when that is not trusted any more.
    fn check(&self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if self.issuing.is_none() {
            return Err(SecurityRefusal::NotOurs);
        }
        self.trusted.contains_key(&fingerprint).then_some(()).ok_or(SecurityRefusal::NoSuchAuthority(fingerprint))
    }

    fn add(&mut self, fingerprint: Fingerprint, der: &[u8]) -> Result<(), SecurityRefusal> {
        if self.issuing.is_none() {
            return Err(SecurityRefusal::NotOurs);
        }
        if self.trusted.contains_key(&fingerprint) {
            // Asked a second time.
            return Ok(());
        }
        if self.upcoming.is_some() || self.trusted.len() >= MAX_AUTHORITIES {
            return Err(SecurityRefusal::Rotating);
        }
        self.trusted.insert(fingerprint, der.to_vec());
        self.upcoming = Some(fingerprint);
        Ok(())
    }

    fn promote(&mut self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if !self.trusted.contains_key(&fingerprint) {
            return Err(SecurityRefusal::NoSuchAuthority(fingerprint));
        }
        self.issuing = Some(fingerprint);
        self.upcoming = None;
        Ok(())
    }

    fn drop_authority(&mut self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if self.issuing == Some(fingerprint) {
            return Err(SecurityRefusal::AuthorityInUse(fingerprint));
        }
        if self.upcoming == Some(fingerprint) {
            self.upcoming = None;
        }
        self.trusted.remove(&fingerprint).map(|_| ()).ok_or(SecurityRefusal::NoSuchAuthority(fingerprint))
    }
}

#[cfg(test)]
mod tests;
