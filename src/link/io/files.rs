//! Keys and certificates in the data directory: 0600, written whole or not at all.
//!
//! | file | what |
//! |---|---|
//! | `node.key` | this node's Ed25519 key, PKCS#8 PEM |
//! | `node.crt` | its certificate, PEM, the issuing CA's after it |
//! | `trusted.crt` | the CAs it trusts, PEM |
//! | `ahead.crt` | of these, what `join` with a token took on and the state on this disk does not know yet, PEM |
//! | `ca-FINGERPRINT.key` | directors: a CA's private key, PKCS#8 PEM; the first 16 digits of the SHA-256 of its certificate |
//! | `session-gossip`, `session-guard` | a number that grows with every start |
//!
//! A private key of ours that others than its owner may read is refused. All of this blocks: it is for starts and rotations, and small.

mod external;
pub(crate) mod pem;
mod store;

pub use external::{ChainAndKey, external, external_authorities};

use crate::{
    base::io::durable::{self, FileFault},
    link::{authority::Authority, node_key::NodeKey},
    model::Fingerprint,
};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

const NODE_KEY: &str = "node.key";
const CERTIFICATE: &str = "node.crt";
const TRUSTED: &str = "trusted.crt";
const AHEAD: &str = "ahead.crt";
/// The Raft log; written by `raft`.
pub const RAFT_LOG: &str = "raft.redb";
/// Which cluster this node is in, under which number; written by `members`.
pub const IDENTITY: &str = "identity.json";
const SESSION: &str = "session-";
const SESSIONS: [&str; 2] = ["gossip", "guard"];

const NEW_KEY: &str = "put it back from a backup; or stop the agent, move it, node.crt, identity.json and raft.redb out of the data directory, start the agent, and run `lvs-agent join SEED --token T` with a token for all the roles that the node had";
const NEW_CERTIFICATE: &str = "remove it and restart lvs-agent: the node asks its cluster for another";
const NEW_TRUST: &str = "remove it and restart lvs-agent: the node knows the cas from its cluster's rules, or else needs `lvs-agent join SEED --token TOKEN`";
const NEW_AHEAD: &str =
    "remove it; if `lvs-agent status` then says that no member trusts this node, run `lvs-agent join SEED --token TOKEN` again";
const NEW_AUTHORITY: &str =
    "remove it and restart lvs-agent: it is fetched from another director; if no director has it, run `lvs-agent ca rotate`";
const NEW_SESSION: &str = "check this machine's clock, then remove the file: the count goes on from the clock";

/// A file of the data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// read, write, remove.
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
    /// Others can read a private key of ours.
    #[error(
        "{} can be read by others (mode {mode:04o}): run `chmod 600` on it and restart lvs-agent; if somebody may have read it, {} then",
        path.display(),
        replacing(path)
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file that somebody else looks after is not what it should be.
    #[error("{} cannot be used: {why}; {hint}", path.display())]
    Unsuitable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// What to do.
        hint: String,
    },
}

impl From<FileFault> for FileError {
    fn from(fault: FileFault) -> Self {
        let FileFault { doing, path, source } = fault;
        FileError::Io { path, doing, source }
    }
}

/// How a key that somebody may have becomes worth nothing.
fn replacing(path: &Path) -> &'static str {
    if path.file_name().is_some_and(|name| name == NODE_KEY) {
        "run `lvs-agent leave` and join again with a token"
    } else {
        "run `lvs-agent ca rotate` on a director"
    }
}

/// The node's key; made and stored when there is none.
///
/// # Errors
/// [`FileError`]; a damaged key is never replaced by a new one, for then the node would be nobody that its cluster knows.
pub fn node_key(data_dir: &Path) -> Result<NodeKey, FileError> {
    let path = data_dir.join(NODE_KEY);
    let Some(text) = store::read_secret(&path)? else {
        let key = NodeKey::generate();
        durable::write(&path, &pem::encode(pem::PRIVATE_KEY, &[key.pkcs8()]))?;
        return Ok(key);
    };
    let damaged = |why: &str| FileError::Damaged { path: path.clone(), why: why.to_owned(), hint: NEW_KEY };
    let der = pem::decode_secret(&text).ok_or_else(|| damaged("it holds no private key in PEM form"))?;
    NodeKey::from_pkcs8(&der).map_err(|error| damaged(&error.to_string()))
}

/// The node's certificate and what follows it (DER, leaf first); `None` before it has one.
///
/// # Errors
/// [`FileError`].
pub fn certificate(data_dir: &Path) -> Result<Option<Vec<Vec<u8>>>, FileError> {
    certificates(&data_dir.join(CERTIFICATE), NEW_CERTIFICATE)
}

/// Stores it.
///
/// # Errors
/// [`FileError::Io`].
pub fn save_certificate(data_dir: &Path, chain: &[Vec<u8>]) -> Result<(), FileError> {
    Ok(durable::write(&data_dir.join(CERTIFICATE), &pem::encode(pem::CERTIFICATE, chain))?)
}

/// The CAs (DER) that this node trusted last; none before it trusts any.
///
/// # Errors
/// [`FileError`].
pub fn trusted(data_dir: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    Ok(certificates(&data_dir.join(TRUSTED), NEW_TRUST)?.unwrap_or_default())
}

/// Stores them.
///
/// # Errors
/// [`FileError::Io`].
pub fn save_trusted(data_dir: &Path, authorities: &[Vec<u8>]) -> Result<(), FileError> {
    save_authorities(&data_dir.join(TRUSTED), authorities)
}

/// The CAs (DER) that this node took on by a join token while its copy of the cluster's state was behind; none when it is not.
///
/// # Errors
/// [`FileError`].
pub fn ahead(data_dir: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    Ok(certificates(&data_dir.join(AHEAD), NEW_AHEAD)?.unwrap_or_default())
}

/// Stores them.
///
/// # Errors
/// [`FileError::Io`].
pub fn save_ahead(data_dir: &Path, authorities: &[Vec<u8>]) -> Result<(), FileError> {
    save_authorities(&data_dir.join(AHEAD), authorities)
}

fn save_authorities(path: &Path, authorities: &[Vec<u8>]) -> Result<(), FileError> {
    match authorities {
        // An empty file is a damaged one.
        [] => durable::remove(path)?,
        _ => durable::write(path, &pem::encode(pem::CERTIFICATE, authorities))?,
    }
    Ok(())
}

/// The CA with this certificate (DER), if its private key is here.
///
/// # Errors
/// [`FileError`]; also when the key is another CA's.
pub fn authority(data_dir: &Path, certificate: &[u8]) -> Result<Option<Authority>, FileError> {
    let path = data_dir.join(authority_file(&crate::link::fingerprint::fingerprint(certificate)));
    let Some(text) = store::read_secret(&path)? else { return Ok(None) };
    let damaged = |why: String| FileError::Damaged { path: path.clone(), why, hint: NEW_AUTHORITY };
    let der = pem::decode_secret(&text).ok_or_else(|| damaged("it holds no private key in PEM form".to_owned()))?;
    Authority::from_parts(certificate, &der).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Stores a CA's private key.
///
/// # Errors
/// [`FileError::Io`].
pub fn save_authority(data_dir: &Path, authority: &Authority) -> Result<(), FileError> {
    let path = data_dir.join(authority_file(&authority.fingerprint()));
    Ok(durable::write(&path, &pem::encode(pem::PRIVATE_KEY, &[authority.pkcs8()]))?)
}

/// Wipes the private keys of all CAs but these.
///
/// # Errors
/// [`FileError::Io`].
pub fn keep_authorities(data_dir: &Path, kept: &[Fingerprint]) -> Result<(), FileError> {
    let kept: Vec<String> = kept.iter().map(authority_file).collect();
    let listed = fs::read_dir(data_dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in listed.map_err(|source| FileError::Io { path: data_dir.to_owned(), doing: "read", source })? {
        let name = entry.file_name();
        if is_authority_file(&name) && !kept.iter().any(|kept| name == kept.as_str()) {
            store::wipe(&entry.path())?;
        }
    }
    Ok(())
}

/// A number that is higher than at any start before, and than Unix time in milliseconds was then. `which`: `gossip` or `guard`. It is on the
/// disk when this returns, so that no two starts ever have the same.
///
/// # Errors
/// [`FileError`]; without the number of the last start, nobody can say which is higher.
pub fn next_session(data_dir: &Path, which: &str, unix_ms: u64) -> Result<u64, FileError> {
    let path = data_dir.join(format!("{SESSION}{which}"));
    let damaged = |why: &str| FileError::Damaged { path: path.clone(), why: why.to_owned(), hint: NEW_SESSION };
    let last = match store::read(&path)? {
        Some(bytes) => {
            let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
            text.and_then(|text| text.parse().ok()).ok_or_else(|| damaged("it holds no number"))?
        }
        None => 0,
    };
    let next = unix_ms.max(last).checked_add(1).ok_or_else(|| damaged("there is no higher number"))?;
    durable::write(&path, format!("{next}\n").as_bytes())?;
    Ok(next)
}

/// One PEM text that a remote administrator needs nothing beside: private key, certificate, then whom to trust.
pub fn bundle(key: &[u8], certificate: &[u8], authorities: &[Vec<u8>]) -> Zeroizing<String> {
    let parts = [
        pem::encode(pem::PRIVATE_KEY, &[key]),
        pem::encode(pem::CERTIFICATE, &[certificate]),
        pem::encode(pem::CERTIFICATE, authorities),
    ];
    // All at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in &parts {
        text.push_str(std::str::from_utf8(part).expect("PEM is ASCII"));
    }
    text
}

/// Removes everything that is listed above: the node has left. Private keys are overwritten first, as far as the file system lets that mean anything.
///
/// # Errors
/// [`FileError::Io`]; what is left can be removed by doing it again.
pub fn forget(data_dir: &Path) -> Result<(), FileError> {
    keep_authorities(data_dir, &[])?;
    store::wipe(&data_dir.join(NODE_KEY))?;
    for file in [CERTIFICATE, TRUSTED, AHEAD] {
        durable::remove(&data_dir.join(file))?;
    }
    for which in SESSIONS {
        durable::remove(&data_dir.join(format!("{SESSION}{which}")))?;
    }
    Ok(())
}

fn authority_file(fingerprint: &Fingerprint) -> String {
    format!("ca-{fingerprint}.key")
}

fn is_authority_file(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("ca-") && name.ends_with(".key"))
}

fn certificates(path: &Path, hint: &'static str) -> Result<Option<Vec<Vec<u8>>>, FileError> {
    let Some(text) = store::read(path)? else { return Ok(None) };
    match pem::certificates(&text) {
        Some(found) if !found.is_empty() => Ok(Some(found)),
        _ => Err(FileError::Damaged { path: path.to_owned(), why: "it holds no certificates in PEM form".to_owned(), hint }),
    }
}

#[cfg(test)]
mod tests;
