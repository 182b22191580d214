//! The cluster's own CAs: which one signs, which ones are trusted.

use super::SecurityRefusal;
use crate::model::Fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most CAs that are trusted at a time.
pub const MAX_AUTHORITIES: usize = 4;

/// The cluster's own CAs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Authorities {
    /// The one that signs new certificates.
    pub issuing: Option<Fingerprint>,
    /// The CA that signs next, once all members trust it; `Some` while a rotation is under way.
    pub upcoming: Option<Fingerprint>,
    /// The certificates (DER) of all CAs that are trusted.
    pub trusted: BTreeMap<Fingerprint, Vec<u8>>,
}

impl Authorities {
    /// Checks that a CA is trusted: a token or identity of another CA would be of no use.
    pub(super) fn check(&self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if self.issuing.is_none() {
            return Err(SecurityRefusal::NotOurs);
        }
        self.trusted.contains_key(&fingerprint).then_some(()).ok_or(SecurityRefusal::NoSuchAuthority(fingerprint))
    }

    pub(super) fn add(&mut self, fingerprint: Fingerprint, der: &[u8]) -> Result<(), SecurityRefusal> {
        if self.issuing.is_none() {
            return Err(SecurityRefusal::NotOurs);
        }
        if self.trusted.contains_key(&fingerprint) {
            // A proposer that was not told the result proposes the same CA again.
            return Ok(());
        }
        if self.upcoming.is_some() || self.trusted.len() >= MAX_AUTHORITIES {
            return Err(SecurityRefusal::Rotating);
        }
        self.trusted.insert(fingerprint, der.to_vec());
        self.upcoming = Some(fingerprint);
        Ok(())
    }

    pub(super) fn promote(&mut self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if !self.trusted.contains_key(&fingerprint) {
            return Err(SecurityRefusal::NoSuchAuthority(fingerprint));
        }
        self.issuing = Some(fingerprint);
        self.upcoming = None;
        Ok(())
    }

    pub(super) fn drop_authority(&mut self, fingerprint: Fingerprint) -> Result<(), SecurityRefusal> {
        if self.issuing == Some(fingerprint) {
            return Err(SecurityRefusal::AuthorityInUse(fingerprint));
        }
        if self.upcoming == Some(fingerprint) {
            self.upcoming = None;
        }
        self.trusted.remove(&fingerprint).map(|_| ()).ok_or(SecurityRefusal::NoSuchAuthority(fingerprint))
    }
}
