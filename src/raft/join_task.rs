//! Becoming a member: asks any member to let this node in, and keeps what it answers.

use super::{
    io::{
        disk::{Disk, Stamp},
        identity::{Identity, IdentityError},
        log_store::FILE,
        network::{CallError, Peers},
        store_error::StoreError,
    },
    message::{HelloRefusal, JoinAccepted, JoinRefusal, JoinRequest, Request, Response},
};
use std::{fmt, fs, io, net::SocketAddr, path::Path, path::PathBuf, time::Duration};

/// Longer than the seed itself waits for a leader.
const SEED_DEADLINE: Duration = Duration::from_secs(12);

/// Why the node is no member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No seed was given.
    #[error("no seed is given: name the address of a member, as in `lvs-agent join 10.0.0.1:7946`")]
    NoSeed,
    /// No seed answered.
    #[error("no seed let this node in: {}; is an agent running there, and is TCP allowed between the nodes?", Tried(tried))]
    Unreachable {
        /// Each seed and what came of it.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The seed speaks another version.
    #[error("{seed} does not talk to this node: {refusal}")]
    WrongVersion {
        /// Which seed.
        seed: SocketAddr,
        /// Its words.
        refusal: HelloRefusal,
    },
    /// A seed answered no.
    #[error("{seed} does not let this node in: {refusal}")]
    Refused {
        /// Which seed.
        seed: SocketAddr,
        /// Its words.
        refusal: JoinRefusal,
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
}

struct Tried<'a>(&'a [(SocketAddr, String)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (seed, why)) in self.0.iter().enumerate() {
            write!(f, "{}{seed}: {why}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Asks one seed after the other to make this node a member, and writes down what it becomes. Its Raft can be started afterwards; it begins
/// with an empty log, the leader brings it up to date. A node that is a member already only tells its roles and address.
///
/// # Errors
/// Nobody answers, or somebody says why not.
pub async fn join(seeds: &[SocketAddr], mut request: JoinRequest, data_dir: &Path) -> Result<Identity, JoinError> {
    let before = Identity::load(data_dir)?;
    if before.is_none() && data_dir.join(FILE).exists() {
        return Err(StoreError::Exists { path: data_dir.join(FILE) }.into());
    }
    request.known = before.as_ref().map(|identity| (identity.cluster_id.clone(), identity.node_id));
    let name = request.name.clone();
    let JoinAccepted { cluster_id, id, timing, .. } = ask_seeds(seeds, request).await?;
    let identity = Identity { cluster_id, node_id: id, name, timing };
    if before.as_ref() == Some(&identity) {
        return Ok(identity);
    }
    fs::create_dir_all(data_dir).map_err(|source| JoinError::DataDir { data_dir: data_dir.to_owned(), source })?;
    Disk::create(&data_dir.join(FILE), &Stamp::new(&identity.cluster_id, id.0))?;
    identity.save(data_dir)?;
    Ok(identity)
}

async fn ask_seeds(seeds: &[SocketAddr], request: JoinRequest) -> Result<JoinAccepted, JoinError> {
    if seeds.is_empty() {
        return Err(JoinError::NoSeed);
    }
    let peers = Peers::of_stranger();
    let request = Request::Join(request);
    let mut tried = Vec::new();
    for &seed in seeds {
        match peers.call(None, seed, &request, SEED_DEADLINE).await {
            Ok(Response::Joined(Ok(accepted))) => return Ok(accepted),
            // Another member may see more.
            Ok(Response::Joined(Err(refusal @ JoinRefusal::NoQuorum(_)))) => tried.push((seed, refusal.to_string())),
            Ok(Response::Joined(Err(refusal))) => return Err(JoinError::Refused { seed, refusal }),
            Ok(Response::Failed(why)) => tried.push((seed, why)),
            Ok(_) => tried.push((seed, "it answers something else".to_owned())),
            Err(CallError::Refused { refusal: refusal @ HelloRefusal::WrongVersion { .. }, .. }) => {
                return Err(JoinError::WrongVersion { seed, refusal });
            }
            Err(error) => tried.push((seed, error.to_string())),
        }
    }
    Err(JoinError::Unreachable { tried })
}
