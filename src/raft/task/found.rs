//! Writes the log of a new cluster: one voter, this node, and the first entries.

use super::start::open_raft;
use crate::{
    link::io::files::RAFT_LOG as FILE,
    model::{NodeId, NodeName, TimingProfile},
    peers::Peers,
    raft::{
        io::{
            disk::{Disk, LogOwner},
            log_store::LogStore,
            raft_client::RaftNetwork,
            state_machine::StateMachine,
            store_error::StoreError,
        },
        membership_observer::NoGuard,
        recipients::Recipients,
        timing::RaftTiming,
        types::RaftMember,
    },
    rules::Command,
};
use std::{collections::BTreeMap, fmt::Display, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::time::timeout;

/// A single voter decides alone, within milliseconds on a healthy disk.
const DEADLINE: Duration = Duration::from_secs(30);

/// The first voter of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Founder<'a> {
    /// Where its log will be.
    pub data_dir: &'a Path,
    /// The new cluster.
    pub cluster_id: &'a str,
    /// Its number.
    pub me: NodeId,
    /// Its name.
    pub name: &'a NodeName,
    /// Its Raft address.
    pub addr: SocketAddr,
    /// The cluster's rhythm.
    pub timing: TimingProfile,
}

/// Why a cluster's first log was not written.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entries.
    #[error("the cluster's first entries were not committed: {0}")]
    Raft(String),
}

fn failed(error: &dyn Display) -> FoundError {
    FoundError::Raft(error.to_string())
}

/// Makes the log and commits `entries` in it. The number that one of them gives to a node must be the founder's. On failure the caller removes the
/// file with [`discard_log`].
///
/// # Errors
/// A log exists already, the disk fails, or an entry is refused.
pub async fn found(founder: &Founder<'_>, entries: Vec<Command>) -> Result<(), FoundError> {
    match timeout(DEADLINE, write(founder, entries)).await {
        Ok(written) => written,
        Err(_) => Err(FoundError::Raft(format!("not within {DEADLINE:?}"))),
    }
}

async fn write(founder: &Founder<'_>, entries: Vec<Command>) -> Result<(), FoundError> {
    let Founder { data_dir, cluster_id, me, name, addr, timing } = *founder;
    let stamp = LogOwner::new(cluster_id, me.0);
    let (log, snapshot) = LogStore::open(data_dir, &stamp, Arc::new(NoGuard)).await?;
    let (machine, _published) = StateMachine::new(log.clone(), snapshot);
    let timing = RaftTiming::of(timing);
    let network = RaftNetwork::new(Peers::nobody(), None, timing, Recipients::default());
    let raft = open_raft(cluster_id, me, timing, network, log.clone(), machine).await.map_err(FoundError::Raft)?;
    let node = RaftMember { name: name.clone(), addr };
    raft.initialize(BTreeMap::from([(me.0, node)])).await.map_err(|error| failed(&error))?;
    raft.wait(Some(DEADLINE)).current_leader(me.0, "the only voter leads").await.map_err(|error| failed(&error))?;
    for change in entries {
        let response = raft.client_write(change).await.map_err(|error| failed(&error))?;
        let id = response.data.result.map_err(|error| failed(&error))?;
        if id.is_some_and(|id| id != me) {
            return Err(FoundError::Raft("the first node got another number".to_owned()));
        }
    }
    let _ = raft.shutdown().await;
    log.close().await.map_err(|error| failed(&error))
}

/// Makes an empty log for the node `me`.
///
/// # Errors
/// A log exists already, or the file system fails.
pub fn create_log(data_dir: &Path, cluster_id: &str, me: NodeId) -> Result<(), StoreError> {
    Disk::create(&data_dir.join(FILE), &LogOwner::new(cluster_id, me.0))
}

/// Removes a log that belongs to no member: it is left over from a founding or a join that failed.
///
/// # Errors
/// What the file system says.
pub fn discard_log(data_dir: &Path) -> Result<(), StoreError> {
    Disk::discard(&data_dir.join(FILE))
}
