//! What the supervisor tells process 1 of the lab, and the answer: one file each way in a shared directory.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the order inside the job directory.
pub const ORDER: &str = "job.json";
/// Name of the script's exit status inside the job directory.
pub const STATUS: &str = "status";
/// Name of the agent's binary inside the job directory.
pub const AGENT: &str = "lvs-agent";
/// Name of the cluster file inside the job directory; absent when no cluster is to be formed.
pub const CLUSTER: &str = "cluster.toml";

/// What to run, and with what around it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The script and its arguments; with `each` several scripts.
    pub script: Vec<PathBuf>,
    /// Each of `script` is a script of its own, which finds the lab as if it were the only one.
    pub each: bool,
    /// Where the caller stood.
    pub cwd: PathBuf,
    /// The caller's environment.
    pub env: BTreeMap<String, String>,
    /// Folders of the host which the script sees read-write.
    pub shared: Vec<PathBuf>,
    /// True when the cluster file is the lab's own, all of whose servers are alive: anything missing is then an error.
    pub default_cluster: bool,
    /// Leave the lab up with a shell once the script has ended.
    pub keep: bool,
    /// "virtual" or "real", for `$LVS_LAB_TIME`.
    pub time: String,
    /// How many real servers there are.
    pub real_servers: u8,
    /// In how many zones the hosts stand; 0: their configuration says nothing of zones.
    pub zones: u8,
    /// True inside a guest kernel, false where the host itself has IPVS.
    pub guest: bool,
}

impl Job {
    /// Reads the order.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(ORDER);
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))
    }

    /// Writes the order.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(ORDER);
        std::fs::write(&path, serde_json::to_vec(self)?).with_context(|| format!("write {}", path.display()))
    }
}
