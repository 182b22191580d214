//! Barred names. With an external CA, removing a node bars its name: its certificate stays valid, and only its name tells it. With the cluster's
//! own CA no names are barred, because a removed node gets no certificate.

use super::security::SecurityRefusal;
use crate::model::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most names. Beyond that, removals are refused: if an old name made room, its node could come back without an administrator's consent.
pub const MAX_BARRED: usize = 4096;

/// Removed nodes that no administrator has allowed back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Barred(BTreeSet<NodeName>);

impl Barred {
    /// Whether this name is barred.
    pub fn has(&self, name: &NodeName) -> bool {
        self.0.contains(name)
    }

    /// All barred names, in order.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        self.0.iter()
    }

    pub(super) fn add(&mut self, name: &NodeName) -> Result<(), SecurityRefusal> {
        if self.0.len() >= MAX_BARRED && !self.has(name) {
            return Err(SecurityRefusal::TooManyBarred(MAX_BARRED));
        }
        self.0.insert(name.clone());
        Ok(())
    }

    pub(super) fn lift(&mut self, name: &NodeName) -> Result<(), SecurityRefusal> {
        if self.0.remove(name) { Ok(()) } else { Err(SecurityRefusal::NotBarred(name.clone())) }
    }
}
