//! The security part of the replicated state: CAs, the gossip keyring, join tokens, remote identities, barred names.

use super::barred::Barred;
use crate::model::{Access, Fingerprint, IdentityName, KeyId, NodeId, NodeName, PublicKey, Roles, Secret, TokenId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

mod authorities;
mod keyring;
mod refusal;

pub use authorities::{Authorities, MAX_AUTHORITIES};
pub use keyring::{KeyRing, MAX_KEYS};
pub use refusal::SecurityRefusal;

/// Most join tokens at a time; expired ones make room.
pub const MAX_TOKENS: usize = 1000;
/// An expired token is kept for so long, if there is room, so that its use can be answered with "expired".
const FORGOTTEN_AFTER_S: u64 = 86_400;
/// Most remote identities.
pub const MAX_IDENTITIES: usize = 1000;
/// The security part of the replicated state.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Security {
    /// The cluster's own CAs. Empty with an external CA (`[tls]` in agent.toml).
    pub authorities: Authorities,
    /// The keys that datagrams are sealed with.
    pub keyring: KeyRing,
    /// Join tokens that are neither used up nor revoked.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Persons and programs that may use the remote API with a certificate of the cluster's CA.
    pub identities: BTreeMap<IdentityName, RemoteIdentity>,
    /// Names of removed nodes that an external CA has certified. Always empty with the cluster's own CA.
    pub barred: Barred,
}

/// What a node needs to check datagrams: the gossip keys, and the address and public key of each member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerKeys {
    /// Gossip keys.
    pub keyring: KeyRing,
    /// For each member the address that it sends from, and the public key of what it signs with.
    pub members: BTreeMap<NodeId, (SocketAddr, PublicKey)>,
    /// Members by name: node states that are passed on name their node.
    pub names: BTreeMap<NodeName, NodeId>,
}

/// What the cluster knows of a join token. The signing key is in the token itself, which only its holder has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// The public key that checks the holder's signature.
    pub key: PublicKey,
    /// A node that joins with it may have these roles or some of them.
    pub roles: Roles,
    /// How many nodes may still join with it.
    pub uses_left: u32,
    /// When it expires. Unix seconds.
    pub expires_unix_s: u64,
    /// The director on which it was made.
    pub made_by: NodeName,
    /// The CA that a joining node can recognise by the token. The token ends with that CA.
    pub authority: Fingerprint,
}

/// The use of a token. Its time is part of the entry, because no clock is read when an entry is applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TokenUse {
    /// The token.
    pub id: TokenId,
    /// When it was used, by the leader's clock. Unix seconds.
    pub at_unix_s: u64,
}

/// A person or a program that may use the remote API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RemoteIdentity {
    /// What it may do.
    pub access: Access,
    /// SHA-256 of its certificate. Another certificate with the same name is not accepted.
    pub certificate: Fingerprint,
    /// When the certificate ends. Unix seconds.
    pub expires_unix_s: u64,
    /// The CA that has signed the certificate. The identity ends with that CA.
    pub authority: Fingerprint,
}

/// The security state with which a cluster begins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Founding {
    /// The cluster's CA, fingerprint and DER; `None` with an external CA.
    pub authority: Option<(Fingerprint, Vec<u8>)>,
    /// The first gossip key.
    pub key: Secret,
}

/// A change of the security state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SecurityChange {
    /// A token is made. Tokens that expired long before `at_unix_s` are forgotten.
    TokenMade {
        /// Its id.
        id: TokenId,
        /// Its key, roles, uses and end.
        token: Token,
        /// The leader's clock, see [`Command::by_clock`](super::Command::by_clock).
        at_unix_s: u64,
    },
    /// A token is revoked.
    TokenRevoked(TokenId),
    /// A gossip key is accepted from now on, and used once it is promoted.
    KeyAdded {
        /// The key.
        key: Secret,
        /// [`KeyRing::departures`] at a time when the maker of the key knew that no node that had left was sent entries any more; `None` if the
        /// maker did not check.
        departures: Option<u64>,
    },
    /// Datagrams are sealed with this key from now on.
    KeyPromoted(KeyId),
    /// A key is no longer accepted.
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
    /// A CA is no longer trusted. Its tokens and its remote identities end with it.
    AuthorityDropped(Fingerprint),
    /// A remote identity is made. It replaces an older one of the same name.
    IdentityAdded {
        /// Its name.
        name: IdentityName,
        /// Its access and its certificate.
        identity: RemoteIdentity,
    },
    /// A remote identity is revoked.
    IdentityRevoked(IdentityName),
    /// A barred node may come back with its certificate.
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

    /// Whether certificates come from an external CA.
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
        // While there is room, a leader whose clock is ahead must not delete tokens that other leaders would still accept.
        let keep_s = if self.tokens.len() < MAX_TOKENS { FORGOTTEN_AFTER_S } else { 0 };
        self.tokens.retain(|_, token| !is_over(token, keep_s));
        self.tokens.insert(id, token.clone());
        Ok(())
    }

    /// Checks that a token admits a node with `roles` at this time. The proposer of the use checks the holder's signature.
    ///
    /// # Errors
    /// The token is unknown, has expired, or is for other roles.
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

#[cfg(test)]
mod tests;
