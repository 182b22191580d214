//! Carries gossip that is too long for datagrams to other members, over the connections that Raft keeps.
//!
//! One parcel at a time for each member, a few members at a time. What finds no room, or does not arrive, is dropped quietly: gossip says it again in its
//! next round, and by then it may say more.

use crate::{link::parcel::Parcel, model::NodeId, peers::send_parcel, raft::RaftNode};
use std::collections::BTreeSet;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Members that are sent something at the same time.
const AT_ONCE: usize = 16;

/// Carries until `shutdown`.
pub async fn run(raft: RaftNode, mut parcels: mpsc::Receiver<Parcel>, shutdown: CancellationToken) {
    let mut under_way = JoinSet::new();
    let mut members: BTreeSet<NodeId> = BTreeSet::new();
    loop {
        // Cancel-safe: a parcel that is not taken stays, and so does the end of a task.
        let parcel = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(ended) = under_way.join_next() => {
                match ended {
                    Ok(member) => members.remove(&member),
                    // Nobody knows which it was; none of them is waited for again.
                    Err(_) => { members.clear(); false }
                };
                continue;
            }
            parcel = parcels.recv() => match parcel {
                Some(parcel) => parcel,
                // Gossip has ended: its own end is the fault, if it is one.
                None => return shutdown.cancelled().await,
            },
        };
        if members.len() >= AT_ONCE || !members.insert(parcel.member) {
            continue;
        }
        let raft = raft.clone();
        under_way.spawn(async move {
            let member = parcel.member;
            if let Err(error) = send_parcel(raft.peers(), raft.directory(), parcel).await {
                tracing::debug!(node = %member, %error, "gossip was not taken over tls");
            }
            member
        });
    }
}
