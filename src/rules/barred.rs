//! Names that are kept out. A cluster with a CA of its own gives a removed node nothing to come back with; where certificates come from somebody
//! else's CA, the removed node's is as good as before, and only its name tells it.

use super::security::SecurityRefusal;
use crate::model::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most names. When they are that many, a removal is refused with words: an old one that made room would be let in again without anybody's say.
pub const MAX_BARRED: usize = 4096;

/// Removed nodes that no administrator has allowed back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Barred(BTreeSet<NodeName>);

impl Barred {
    /// Whether a node of this name is kept out.
    pub fn has(&self, name: &NodeName) -> bool {
        self.0.contains(name)
    }

    /// All of them, in order.
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
