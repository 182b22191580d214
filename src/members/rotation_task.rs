//! Proposes the next step of a key or CA rotation while this node leads, and begins one when a node has left that knows the gossip key.

use super::key_inventory::key_inventory;
use crate::{
    clock::{BootClock, BootInstant, Clock},
    gossip::ClusterView,
    model::{Fingerprint, KeyId, NodeName, Secret},
    raft::{RaftNode, RaftView},
    repeats::Repeats,
    rules::{
        ClusterState, Command, Security, SecurityChange,
        rotation::{self, Wanted},
    },
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often the age of the keys is checked, besides whenever something changes.
const EVERY: Duration = Duration::from_secs(1);
/// Deadline of one proposal. A step that was not committed is proposed again at the next tick.
const PROPOSAL: Duration = Duration::from_secs(1);
/// Pause after a proposal that failed, and longest wait until one that was committed shows in the state.
const PAUSE: Duration = Duration::from_secs(1);

/// Since when this leader has seen the present gossip key and CA in use. Empty while it does not lead: a new leader counts anew, and so later.
#[derive(Default)]
struct Ages {
    key: Option<(KeyId, BootInstant)>,
    authority: Option<(Fingerprint, BootInstant)>,
}

impl Ages {
    fn look(&mut self, security: &Security, now: BootInstant) {
        see(&mut self.key, security.keyring.primary, now);
        see(&mut self.authority, security.authorities.issuing, now);
    }
}

fn see<T: PartialEq>(seen: &mut Option<(T, BootInstant)>, present: Option<T>, now: BootInstant) {
    if seen.as_ref().map(|(id, _)| id) != present.as_ref() {
        *seen = present.map(|id| (id, now));
    }
}

fn age<T>(seen: Option<&(T, BootInstant)>, now: BootInstant) -> Duration {
    seen.map_or(Duration::ZERO, |(_, since)| now.saturating_since(*since))
}

/// Carries rotations on for as long as `node` leads with a quorum behind it.
pub async fn run(node: NodeName, raft: RaftNode, mut view: watch::Receiver<Arc<ClusterView>>, shutdown: CancellationToken) {
    let mut state = raft.state();
    let mut standing = raft.view();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ages, mut failing) = (Ages::default(), Repeats::default());
    loop {
        // Watches keep what they have not delivered, and a tick that was missed comes again, so all arms are cancel-safe.
        tokio::select! {
            () = shutdown.cancelled() => return,
            // Who does not lead waits for nothing that comes with time.
            _ = tick.tick(), if raft.is_leader_with_quorum() => {}
            changed = view.changed() => if changed.is_err() { return },
            changed = state.changed() => if changed.is_err() { return },
            changed = standing.changed() => if changed.is_err() { return },
        }
        if !(standing.borrow_and_update().loaded && raft.is_leader_with_quorum()) {
            ages = Ages::default();
            continue;
        }
        let now = BootClock.now();
        let known = state.borrow_and_update().clone();
        ages.look(&known.security, now);
        let wanted = wanted(&node, &known, &standing.borrow(), &view.borrow_and_update(), &ages, now);
        let Some(wanted) = wanted else { continue };
        tokio::select! {
            // A proposal that is cancelled may still be committed; the next leader sees it.
            () = shutdown.cancelled() => return,
            () = carry_out(&raft, &known, wanted, &mut failing) => {}
        }
    }
}

fn wanted(
    me: &NodeName,
    state: &ClusterState,
    standing: &RaftView,
    view: &ClusterView,
    ages: &Ages,
    now: BootInstant,
) -> Option<Wanted> {
    let live = key_inventory(state, view);
    let followers = || standing.voters.iter().chain(&standing.learners);
    rotation::next(&rotation::RotationInput {
        security: &state.security,
        me,
        live: &live,
        key_age: age(ages.key.as_ref(), now),
        authority_age: age(ages.authority.as_ref(), now),
        leavers_are_out: followers().all(|id| state.node_by_id(*id).is_some()),
    })
}

async fn carry_out(raft: &RaftNode, before: &ClusterState, wanted: Wanted, failing: &mut Repeats<()>) {
    let Some(change) = change(wanted, &before.security) else {
        tracing::error!("no random bytes for a new gossip key");
        return sleep(PAUSE).await;
    };
    tracing::info!(?wanted, "next step of the key rotation");
    // A change that is committed but not yet in the state would be proposed again.
    if let Err(error) = raft.propose_and_see(Command::Security(change), PROPOSAL).await {
        if let Some(times) = failing.due(&(), &error.to_string(), BootClock.now()) {
            tracing::warn!(?wanted, %error, times, "key rotation step failed, trying again");
        }
        sleep(PAUSE).await;
    }
}

/// `None` when the system gives no random bytes.
fn change(wanted: Wanted, security: &Security) -> Option<SecurityChange> {
    Some(match wanted {
        Wanted::AddKey => SecurityChange::KeyAdded { key: new_key()?, departures: Some(security.keyring.departures) },
        Wanted::PromoteKey(id) => SecurityChange::KeyPromoted(id),
        Wanted::DropKey(id) => SecurityChange::KeyDropped(id),
        Wanted::PromoteAuthority(ca) => SecurityChange::AuthorityPromoted(ca),
        Wanted::DropAuthority(ca) => SecurityChange::AuthorityDropped(ca),
    })
}

/// A gossip key from the system's randomness; `None` when it gives none.
pub fn new_key() -> Option<Secret> {
    let mut bytes = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(bytes.as_mut_slice()).ok()?;
    Some(Secret::new(*bytes))
}
