//! The leader's duty to commit what a majority of observers sees.

use crate::{
    clock::{BootClock, Clock},
    gossip::ClusterView,
    raft::{RaftNode, RaftView},
    repeats::Repeats,
    rules::{ClusterState, Command, Verdict, VerdictChange},
    verdict::{self, KnownObservers},
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long one proposal may take. What did not get through is found again in the next look.
const PROPOSAL: Duration = Duration::from_secs(1);
/// Pause after a proposal that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Proposes verdict edges for as long as this node leads with a quorum behind it.
pub async fn run(raft: RaftNode, mut view: watch::Receiver<Arc<ClusterView>>, shutdown: CancellationToken) {
    let mut state = raft.state();
    let mut standing = raft.view();
    let mut failing = Repeats::default();
    let mut observers = KnownObservers::default();
    loop {
        let due =
            edges(&raft, &mut observers, &standing.borrow_and_update(), &state.borrow_and_update(), &view.borrow_and_update());
        if due.is_empty() {
            // Watches keep what they have not delivered, so all arms are cancel-safe.
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = view.changed() => if changed.is_err() { return },
                changed = state.changed() => if changed.is_err() { return },
                changed = standing.changed() => if changed.is_err() { return },
            }
            continue;
        }
        for edge in &due {
            tracing::info!(service = %edge.target.service, server = %edge.target.server, to = ?edge.to, why = edge.why, "verdict proposed");
        }
        let proposed = tokio::select! {
            () = shutdown.cancelled() => return,
            proposed = raft.propose(Command::Verdicts(due.clone()), PROPOSAL) => proposed,
        };
        // What is committed shows in the state a moment later; before that it would be proposed again.
        let stands = |state: &Arc<ClusterState>| due.iter().all(|edge| verdict_of(state, edge) == Some(edge.to));
        if proposed.is_ok() {
            let _ = tokio::time::timeout(PAUSE, state.wait_for(stands)).await;
        }
        if let Err(error) = proposed {
            if let Some(times) = failing.due(&(), &error.to_string(), BootClock.now()) {
                tracing::warn!(%error, times, "verdict not committed, looking again");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

fn verdict_of(state: &ClusterState, edge: &VerdictChange) -> Option<Verdict> {
    state.verdicts.get(&edge.target).map(|(verdict, _)| *verdict)
}

fn edges(
    raft: &RaftNode,
    observers: &mut KnownObservers,
    standing: &RaftView,
    state: &ClusterState,
    view: &ClusterView,
) -> Vec<VerdictChange> {
    let leads = standing.loaded && raft.is_leader_with_quorum();
    if leads { verdict::verdict_changes(state, &view.observer_reports(), observers.of(state, &view.live())) } else { Vec::new() }
}
