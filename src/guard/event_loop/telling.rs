//! Whom the guard's loop tells what: the worker of its holdings, the service manager how it stands, its file where VIPs may be.

use super::EventLoop;
use crate::{
    clock::{BootClock, Clock},
    guard::{leases::Leases, protocol::ToWorker, report::Standing},
    model::{Obstacles, Ownership},
};

impl EventLoop {
    /// Whoever is concerned, of what has changed.
    pub(super) fn tell_all(&mut self) {
        self.note_places();
        self.log_fallbacks();
        let (ownership, obstacles) =
            self.leases.as_ref().map(|leases| (leases.ownership(), leases.obstacles())).unwrap_or_default();
        let stand = (ownership, obstacles, self.executor.has_no_fence());
        self.tell_manager(&stand.0);
        self.tell_ownership(stand);
        self.tell_problems();
    }

    /// At each change, and after hello.
    fn tell_ownership(&mut self, stand: (Ownership, Obstacles, Option<String>)) {
        if self.greeted && self.told.as_ref() != Some(&stand) {
            self.told = Some(stand.clone());
            self.tell(ToWorker::Ownership(stand.0, stand.1, stand.2));
        }
    }

    /// At each change, and to show that this loop turns.
    fn tell_manager(&mut self, held: &Ownership) {
        let now = BootClock.now();
        let waits_for = self.not_started.clone().or_else(|| self.executor.waits_for());
        let standing = Standing {
            served: self.supervisor.has_served(),
            tended: self.supervisor.is_tended(now),
            worker: self.supervisor.is_running(),
            other_build: self.other_build,
            withdrawn: self.withdrawn,
            node: self.identity.as_ref().map(|identity| (identity.id, identity.cluster_id.as_str())),
            not_started: waits_for.as_deref(),
            held,
        };
        let words = self.report.step(standing, now);
        self.manager.tell(&words);
    }

    pub(super) fn tell(&mut self, what: ToWorker) {
        let Some(worker) = &mut self.worker else { return };
        if let Err(error) = worker.tell(what) {
            tracing::error!(%error, "killing the worker");
            worker.kill();
        }
    }

    /// At each change.
    fn note_places(&mut self) {
        // What the file says at first is still to be taken off while the guard waits.
        if self.executor.waits_for().is_none() {
            let places = self.leases.as_ref().map(Leases::places).unwrap_or_default();
            self.vip_file.set(&places);
        }
    }
}
