//! Whom a leader's next heartbeat goes to.

use crate::model::NodeId;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

/// The recipients. Clones share them: the leader's own clock sets them, each way to a peer looks them up.
#[derive(Clone, Debug, Default)]
pub struct Recipients(Arc<Mutex<Option<BTreeSet<NodeId>>>>);

impl Recipients {
    /// From now on heartbeats go to these nodes only; `None`: to every node.
    pub fn set(&self, recipients: Option<BTreeSet<NodeId>>) {
        *self.0.lock().expect("no holder of this lock panics") = recipients;
    }

    /// Whether a heartbeat goes to this node.
    pub fn has(&self, id: NodeId) -> bool {
        self.0.lock().expect("no holder of this lock panics").as_ref().is_none_or(|recipients| recipients.contains(&id))
    }
}
