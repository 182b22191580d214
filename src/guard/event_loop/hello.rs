//! What the guard does when a worker says hello: from then on it speaks for that node.

use super::EventLoop;
use crate::{
    base::errors::with_sources,
    clock::{BootClock, Clock},
    guard::{
        clock_report::Clocks,
        error::CannotSpeak,
        identity::Identity,
        leases::{LeaseEvent, Leases},
        supervisor::WorkerEvent,
    },
    link::{
        datagram::{Kind, Seal},
        io::files::next_session,
        node_key::NodeKey,
    },
};
use std::sync::Arc;

impl EventLoop {
    pub(super) async fn hello(&mut self, identity: Identity, node_key: &[u8]) {
        // A worker that has found its address has done so before its guard: nothing is held before what an earlier run left is taken off.
        if !self.executor.listen().await.unwrap_or(false) {
            return self.worker_event(WorkerEvent::Broke).await;
        }
        if let Err(error) = self.speak_as(&identity, node_key) {
            tracing::error!(error = %with_sources(&error), "cannot speak for this node");
            return self.worker_event(WorkerEvent::Broke).await;
        }
        self.greeted = true;
        self.told = None;
        self.watch.told = None;
        if self.identity.as_ref() == Some(&identity) {
            if self.stopping.is_none() && !self.withdrawn {
                self.lease_event(LeaseEvent::Return).await;
            }
            return;
        }
        // Another node than before, or another cluster: nothing that was held or promised is this one's.
        let left = self.leases.take().map(|leases| leases.places()).unwrap_or_default();
        self.executor.take_off_in_the_end(&left).await;
        // Promises made by an earlier guard of this node were made before this one started; this one's own were made up to now.
        let forgotten = if self.identity.is_none() { self.started } else { BootClock.now() };
        tracing::info!(node = %identity.id, cluster = identity.cluster_id, timing = %identity.timing, "guard speaks for this node");
        self.leases = Some(Leases::new(identity.id, identity.timing, forgotten, rand::random()));
        self.clocks = Some(Clocks::new(identity.id));
        self.identity = Some(identity);
        if self.withdrawn {
            self.lease_event(LeaseEvent::RetireAll).await;
        }
    }

    /// A worker that says again who this node is changes nothing: a new session would cost the holder's next renewal a round trip.
    fn speak_as(&mut self, identity: &Identity, node_key: &[u8]) -> Result<(), CannotSpeak> {
        let key = NodeKey::from_pkcs8(node_key)?;
        let public = key.public();
        if self.identity.as_ref() == Some(identity) && self.signs_as == Some(public) {
            return Ok(());
        }
        let unix_ms = u64::try_from(BootClock.unix_now().as_millis()).unwrap_or(u64::MAX);
        let session = next_session(&self.options.data_dir, "guard", unix_ms)?;
        self.executor.socket.speak_with(Seal::new(Kind::Lease, &identity.cluster_id, identity.id, session, Arc::new(key)));
        self.signs_as = Some(public);
        Ok(())
    }
}
