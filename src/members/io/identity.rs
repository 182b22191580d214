//! The node's identity: a small file that names its cluster, its number and its name.

use crate::{
    base::io::durable::{self, FileFault},
    link::io::files::{self, FileError},
    model::{NodeId, NodeName, TimingProfile},
    peers::BootstrapPeer,
    raft::RejoinHint,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FILE: &str = files::IDENTITY;
/// A name, a cluster id, a number; and those of a thousand members met.
const MAX_BYTES: u64 = 256 << 10;

/// A node's identity. The file is written last when the node becomes a member: where it is, everything else is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The cluster.
    pub cluster_id: String,
    /// The node's number in it.
    pub node_id: NodeId,
    /// Its name in it.
    pub name: NodeName,
    /// The cluster's rhythm, which never changes.
    pub timing: TimingProfile,
    /// The bootstrap peers: the members when this node joined. It trusts their numbers and names until it has the replicated state.
    #[serde(default, rename = "met")]
    pub bootstrap_peers: Vec<BootstrapPeer>,
}

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileFault),
    /// The content is damaged.
    #[error(
        "{} does not say who this node is; {}",
        path.display(),
        RejoinHint(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The keys cannot be removed.
    #[error(transparent)]
    Keys(#[from] FileError),
}

impl NodeIdentity {
    /// The identity in `data_dir`, if there is one.
    ///
    /// # Errors
    /// A file that is there and cannot be read or understood.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = data_dir.join(FILE);
        let Some(bytes) = durable::read(&path, MAX_BYTES)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| IdentityError::Damaged { path: path.clone(), source })
    }

    /// Writes it durably, all or nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, data_dir: &Path) -> Result<(), IdentityError> {
        let mut text = serde_json::to_vec_pretty(self).expect("an identity is plain data");
        text.push(b'\n');
        Ok(durable::write(&data_dir.join(FILE), &text)?)
    }

    /// Removes everything that makes the node a member, its keys too: the identity first, so that a half-done removal is no member.
    ///
    /// # Errors
    /// What the file system says; the node is then out of its cluster, and the rest may be removed by hand.
    pub fn forget(data_dir: &Path) -> Result<(), IdentityError> {
        for file in [FILE, files::RAFT_LOG] {
            durable::remove(&data_dir.join(file))?;
        }
        files::forget(data_dir)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_saved_is_loaded_and_rubbish_is_named() {
        let dir = crate::raft::Scratch::new();
        assert_eq!(NodeIdentity::load(dir.path()).unwrap(), None);
        let identity = NodeIdentity {
            cluster_id: "0123456789abcdef".to_owned(),
            node_id: NodeId(3),
            name: "d1".parse().unwrap(),
            timing: TimingProfile::Lan,
            bootstrap_peers: vec![BootstrapPeer {
                id: NodeId(1),
                name: "d0".parse().unwrap(),
                addr: "192.0.2.1:7946".parse().unwrap(),
            }],
        };
        identity.save(dir.path()).unwrap();
        assert_eq!(NodeIdentity::load(dir.path()).unwrap(), Some(identity.clone()));
        let thousand = (1..=1000).map(|id| BootstrapPeer {
            id: NodeId(id),
            name: format!("n{id:0>62}").parse().unwrap(),
            ..identity.bootstrap_peers[0].clone()
        });
        let identity = NodeIdentity { bootstrap_peers: thousand.collect(), ..identity };
        identity.save(dir.path()).unwrap();
        assert_eq!(NodeIdentity::load(dir.path()).unwrap(), Some(identity), "a large cluster fits");
        fs::write(dir.path().join(FILE), b"{\"cluster_id\": \"01").unwrap();
        let error = NodeIdentity::load(dir.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }));
        assert!(error.to_string().contains("identity.json does not say who this node is"), "{error}");
    }
}
