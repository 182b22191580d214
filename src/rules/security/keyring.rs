//! The gossip keyring: which keys are accepted, which one is in use, and whether a new one is needed.

use super::SecurityRefusal;
use crate::model::{KeyId, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most gossip keys that are accepted at a time.
pub const MAX_KEYS: usize = 4;

/// The keys that datagrams are sealed with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyRing {
    /// The key in use: datagrams are sealed with it.
    pub primary: Option<KeyId>,
    /// All keys that are accepted.
    pub keys: BTreeMap<KeyId, Secret>,
    /// The number of the key that was added last.
    pub last: u16,
    /// A node that knows these keys has left, so a new key must follow.
    pub stale: bool,
    /// How many nodes have left so far.
    pub departures: u64,
}

impl KeyRing {
    /// Notes that a node that knows the keys is no longer a member.
    pub(in crate::rules) fn somebody_left(&mut self) {
        self.stale = true;
        self.departures = self.departures.wrapping_add(1);
    }

    pub(super) fn add(&mut self, secret: &Secret, departures: Option<u64>) -> Result<(), SecurityRefusal> {
        if self.keys.values().any(|known| known == secret) {
            // A proposer that was not told the result proposes the same key again.
            return Ok(());
        }
        if self.next().is_some() || self.keys.len() >= MAX_KEYS {
            return Err(SecurityRefusal::Rotating);
        }
        // Numbers start again after 65,535. 0 is no key's number, and numbers of keys that are still accepted are passed over.
        let next = |id: u16| id.checked_add(1).unwrap_or(1);
        let mut id = next(self.last);
        while self.keys.contains_key(&KeyId(id)) {
            id = next(id);
        }
        self.last = id;
        self.keys.insert(KeyId(id), secret.clone());
        // A node that left after the key was made, or that was still sent entries then, may know the key.
        self.stale &= departures != Some(self.departures);
        Ok(())
    }

    pub(super) fn promote(&mut self, id: KeyId) -> Result<(), SecurityRefusal> {
        if !self.keys.contains_key(&id) {
            return Err(SecurityRefusal::NoSuchKey(id));
        }
        self.primary = Some(id);
        Ok(())
    }

    pub(super) fn drop_key(&mut self, id: KeyId) -> Result<(), SecurityRefusal> {
        if self.primary == Some(id) {
            return Err(SecurityRefusal::KeyInUse(id));
        }
        self.keys.remove(&id).map(|_| ()).ok_or(SecurityRefusal::NoSuchKey(id))
    }

    /// The key that was added last, until it is in use.
    pub fn next(&self) -> Option<KeyId> {
        Some(KeyId(self.last)).filter(|id| self.keys.contains_key(id) && self.primary != Some(*id))
    }
}
