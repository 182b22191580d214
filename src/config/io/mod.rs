//! Reads configuration files from disk and asks the kernel for the host name.

use super::{agent::AgentConfig, problem::Problems};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// An `agent.toml` beyond this is none.
const MAX_AGENT_FILE_BYTES: u64 = 1 << 20;

/// Why a file did not become a configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was read and is wrong.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Loads this node's `agent.toml`.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn load_agent(path: &Path) -> Result<AgentConfig, LoadError> {
    let opened = File::open(path).and_then(|file| read_text(file, MAX_AGENT_FILE_BYTES));
    let text = opened.map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    let host = rustix::system::uname();
    let hostname = host.nodename().to_string_lossy();
    Ok(AgentConfig::parse(&path.display().to_string(), &text, &hostname)?)
}

/// Reads `from` to its end as UTF-8, at most `max_bytes`.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub fn read_text(from: impl Read, max_bytes: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is longer than {max_bytes} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not a text in UTF-8"))
}
