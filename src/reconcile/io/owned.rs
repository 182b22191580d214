//! The record of addresses that are, or were, VIPs of the cluster: the agent may remove what is on them in this node's kernel.

use crate::{base::io::durable, kernel::DataPlaneError};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Longest record, in bytes: some ten thousand addresses.
const RECORD_BYTES: u64 = 1 << 20;
const RECORD: &str = "owned-vips.json";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    vips: BTreeSet<IpAddr>,
}

/// The record, in memory and on disk.
#[derive(Debug)]
pub struct OwnedVips {
    path: PathBuf,
    vips: BTreeSet<IpAddr>,
}

impl OwnedVips {
    /// Reads the record from the agent's data directory. Without a record nothing is owned yet.
    ///
    /// # Errors
    /// The record cannot be read or decoded. It may be removed by hand; then services on VIPs that left the rules while the agent was down stay.
    pub fn open(data_dir: &Path) -> Result<Self, DataPlaneError> {
        let path = data_dir.join(RECORD);
        let vips = match durable::read(&path, RECORD_BYTES)? {
            None => BTreeSet::new(),
            Some(content) => understand(&path, &content)?,
        };
        Ok(Self { path, vips })
    }

    /// The addresses.
    pub fn vips(&self) -> &BTreeSet<IpAddr> {
        &self.vips
    }

    /// Makes `vips` the record, which is on disk when this returns. Writes nothing if the record is the same already.
    ///
    /// # Errors
    /// The disk failed. The record is unchanged then.
    pub fn set(&mut self, vips: BTreeSet<IpAddr>) -> Result<(), DataPlaneError> {
        if vips != self.vips {
            let content = Content { version: VERSION, vips };
            durable::write(&self.path, &serde_json::to_vec(&content).expect("addresses are JSON"))?;
            self.vips = content.vips;
        }
        Ok(())
    }
}

fn understand(path: &Path, content: &[u8]) -> Result<BTreeSet<IpAddr>, DataPlaneError> {
    let broken = |source: std::io::Error| DataPlaneError::File { doing: "understand", path: path.to_owned(), source };
    let content: Content = serde_json::from_slice(content).map_err(|error| broken(error.into()))?;
    if content.version != VERSION {
        return Err(broken(std::io::Error::other(format!("version {} is not of this agent", content.version))));
    }
    Ok(content.vips)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_owned_is_known_after_a_restart_and_a_broken_record_is_an_error() {
        let dir = std::env::temp_dir().join(format!("lvs-agent-owned-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let vips: BTreeSet<IpAddr> = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()].into();
        let mut owned = OwnedVips::open(&dir).unwrap();
        assert!(owned.vips().is_empty());
        owned.set(vips.clone()).unwrap();
        assert_eq!(OwnedVips::open(&dir).unwrap().vips(), &vips);
        std::fs::write(dir.join(RECORD), "{\"version\":1,\"vips\":[").unwrap();
        let error = OwnedVips::open(&dir).unwrap_err();
        assert!(error.to_string().starts_with("cannot understand"), "{error}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
