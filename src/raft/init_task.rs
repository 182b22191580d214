//! Founding a cluster: a log with one voter in it, this node.

use super::{
    io::{
        disk::{Disk, Stamp},
        identity::{Identity, IdentityError},
        log_store::{FILE, LogStore},
        network::Peers,
        state_machine::StateMachine,
        store_error::StoreError,
    },
    sink::NoGuard,
    task::open_raft,
    timing::RaftTiming,
    types::Node,
};
use crate::{
    model::{NodeId, NodeName, Roles, TimingProfile},
    rules::{Joining, RuleChange},
};
use std::{collections::BTreeMap, fs, io, net::SocketAddr, path::Path, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The founder's number.
const FIRST: NodeId = NodeId(1);
/// A single voter decides alone, within milliseconds on a healthy disk.
const DEADLINE: Duration = Duration::from_secs(30);

/// Why no cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The node is in a cluster.
    #[error("this node is {id} of cluster {cluster_id} already: move {} away to found another cluster", data_dir.display())]
    Member {
        /// Its data directory.
        data_dir: PathBuf,
        /// Its cluster.
        cluster_id: String,
        /// Its number.
        id: NodeId,
    },
    /// The data directory cannot be made.
    #[error("cannot create the data directory {}", data_dir.display())]
    DataDir {
        /// Which.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The first entries were not committed.
    #[error("the cluster's first entries were not committed: {0}")]
    Raft(String),
}

/// Founds a cluster with this node as its first member. Its Raft can be started afterwards.
///
/// # Errors
/// Data that is there already; what the disk says.
pub async fn init(
    data_dir: &Path,
    name: NodeName,
    roles: Roles,
    addr: SocketAddr,
    timing: TimingProfile,
) -> Result<Identity, InitError> {
    if let Some(Identity { cluster_id, node_id, .. }) = Identity::load(data_dir)? {
        return Err(InitError::Member { data_dir: data_dir.to_owned(), cluster_id, id: node_id });
    }
    fs::create_dir_all(data_dir).map_err(|source| InitError::DataDir { data_dir: data_dir.to_owned(), source })?;
    let cluster_id = format!("{:016x}", rand::random::<u64>());
    let identity = Identity { cluster_id, node_id: FIRST, name, timing };
    let stamp = Stamp::new(&identity.cluster_id, FIRST.0);
    Disk::create(&data_dir.join(FILE), &stamp)?;
    let founded = match timeout(DEADLINE, write_first_entries(data_dir, &stamp, &identity, roles, addr)).await {
        Ok(founded) => founded,
        Err(_) => Err(InitError::Raft(format!("not within {DEADLINE:?}"))),
    };
    if let Err(error) = founded {
        // Made a moment ago, and nobody has seen it.
        let _ = fs::remove_file(data_dir.join(FILE));
        return Err(error);
    }
    identity.save(data_dir)?;
    Ok(identity)
}

async fn write_first_entries(
    data_dir: &Path,
    stamp: &Stamp,
    identity: &Identity,
    roles: Roles,
    addr: SocketAddr,
) -> Result<(), InitError> {
    let (log, snapshot) = LogStore::open(data_dir, stamp, Arc::new(NoGuard)).await?;
    let (machine, _published) = StateMachine::new(log.clone(), snapshot);
    let peers = Peers::of_member(&identity.cluster_id, FIRST);
    let raft =
        open_raft(identity, RaftTiming::of(identity.timing), &peers, log.clone(), machine).await.map_err(InitError::Raft)?;
    let failed = |error: &dyn std::fmt::Display| InitError::Raft(error.to_string());
    let me = Node { name: identity.name.clone(), addr };
    raft.initialize(BTreeMap::from([(FIRST.0, me)])).await.map_err(|e| failed(&e))?;
    raft.wait(Some(DEADLINE)).current_leader(FIRST.0, "the only voter leads").await.map_err(|e| failed(&e))?;
    let first = [
        RuleChange::Init { cluster_id: identity.cluster_id.clone(), timing: identity.timing, founding: unimplemented!() },
        RuleChange::NodeJoined(Joining {
            name: identity.name.clone(),
            roles,
            addr,
            zone: None,
            key: unimplemented!(),
            keeps_id: false,
            token: None,
        }),
    ];
    for change in first {
        let response = raft.client_write(change).await.map_err(|e| failed(&e))?;
        let id = response.data.map_err(|e| failed(&e))?;
        if id.is_some_and(|id| id != FIRST) {
            return Err(InitError::Raft("the first node got another number".to_owned()));
        }
    }
    let _ = raft.shutdown().await;
    log.close().await.map_err(|e| failed(&e))
}
