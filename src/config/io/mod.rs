//! Reads configuration files from disk and asks the kernel for the host name.

use super::{
    agent::{AgentConfig, DEFAULT_FILE},
    agent_file,
    problem::Problems,
};
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
    /// There is no such file.
    #[error("{} is not there, so this node does not know what it is: run `{}`, or write it (roles, address)", path.display(), configure(path))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It sets neither `roles` nor `address`, as the package's template does, and nothing else is wrong with it.
    #[error("{} does not say yet what this node is: run `{}`, or edit it (roles, address)", path.display(), configure(path))]
    SaysNothing {
        /// The file.
        path: PathBuf,
    },
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

/// The command line that writes the file.
fn configure(path: &Path) -> String {
    let config = if path == Path::new(DEFAULT_FILE) { String::new() } else { format!("--config {} ", path.display()) };
    format!("lvs-agent {config}configure --roles director")
}

/// Loads this node's `agent.toml`.
///
/// # Errors
/// When it cannot be read, or with everything that is wrong in it.
pub fn load_agent(path: &Path) -> Result<AgentConfig, LoadError> {
    parse_agent(path, &read_agent(path)?)
}

/// Reads the text of an `agent.toml`.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn read_agent(path: &Path) -> Result<String, LoadError> {
    File::open(path).and_then(|file| read_text(file, MAX_AGENT_FILE_BYTES)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing { path: path.to_owned() },
        _ => LoadError::Read { path: path.to_owned(), source },
    })
}

/// What the text means as the `agent.toml` at `path` of this machine.
///
/// # Errors
/// With everything that is wrong in it.
pub fn parse_agent(path: &Path, text: &str) -> Result<AgentConfig, LoadError> {
    let host = rustix::system::uname();
    let hostname = host.nodename().to_string_lossy();
    AgentConfig::parse(&path.display().to_string(), text, &hostname).map_err(|problems| {
        let sets_neither = agent_file::keys(text).is_some_and(|keys| !keys.contains("roles") && !keys.contains("address"));
        // One problem for each of the two keys; with others the file has to be looked at.
        if sets_neither && problems.list.len() == 2 {
            return LoadError::SaysNothing { path: path.to_owned() };
        }
        problems.into()
    })
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
