//! Keys and certificates in the data directory: 0600, written whole or not at all.
//!
//! | file | what |
//! |---|---|
//! | `node.key` | this node's Ed25519 key, PKCS#8 PEM |
//! | `node.crt` | its certificate, PEM, the issuing CA's after it |
//! | `trusted.crt` | the CAs it trusts, PEM |
//! | `ca-FINGERPRINT.key` | directors: a CA's private key, PKCS#8 PEM |
//! | `session-gossip`, `session-guard` | a number that grows with every start |

use crate::{
    link::{authority::Authority, node_key::NodeKey},
    model::Fingerprint,
};
use std::{
    io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// A file of the data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// read, write.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its contents make no sense.
    #[error("{} is damaged: {why}; {hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do.
        hint: &'static str,
    },
}

/// The node's key; made and stored when there is none.
pub fn node_key(_data_dir: &Path) -> Result<NodeKey, FileError> {
    unimplemented!()
}

/// The node's certificate and what follows it (DER, leaf first); `None` before it has one.
pub fn certificate(_data_dir: &Path) -> Result<Option<Vec<Vec<u8>>>, FileError> {
    unimplemented!()
}

/// Stores it.
pub fn save_certificate(_data_dir: &Path, _chain: &[Vec<u8>]) -> Result<(), FileError> {
    unimplemented!()
}

/// The CAs (DER) that this node trusted last.
pub fn trusted(_data_dir: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    unimplemented!()
}

/// Stores them.
pub fn save_trusted(_data_dir: &Path, _authorities: &[Vec<u8>]) -> Result<(), FileError> {
    unimplemented!()
}

/// A CA whose private key is here.
pub fn authority(_data_dir: &Path, _certificate: &[u8]) -> Result<Option<Authority>, FileError> {
    unimplemented!()
}

/// Stores a CA's private key.
pub fn save_authority(_data_dir: &Path, _authority: &Authority) -> Result<(), FileError> {
    unimplemented!()
}

/// Wipes the private keys of all CAs but these.
pub fn keep_authorities(_data_dir: &Path, _kept: &[Fingerprint]) -> Result<(), FileError> {
    unimplemented!()
}

/// A number that is higher than at any start before, and than Unix time in milliseconds was then. `which`: `gossip` or `guard`.
pub fn next_session(_data_dir: &Path, _which: &str, _unix_ms: u64) -> Result<u64, FileError> {
    unimplemented!()
}

/// A certificate chain and a key in PEM files that somebody else looks after (`[tls]` in agent.toml).
pub fn external(_certificate: &Path, _key: &Path) -> Result<(Vec<Vec<u8>>, Zeroizing<Vec<u8>>), FileError> {
    unimplemented!()
}

/// The CAs in a PEM file.
pub fn external_authorities(_file: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    unimplemented!()
}

/// Removes everything that is listed above: the node has left.
pub fn forget(_data_dir: &Path) -> Result<(), FileError> {
    unimplemented!()
}
