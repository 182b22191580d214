//! Sysctls that the agent sets for as long as it needs them (Linux's ip-sysctl.rst, ipvs-sysctl.rst), with the former values kept on disk.

use crate::{
    base::io::durable,
    kernel::{DataPlaneError, SysctlState},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Longest record of former values, in bytes: far beyond any of ours.
const RECORD_BYTES: u64 = 1 << 20;

/// ARP silence of a real server, below `/proc/sys/net/ipv4/conf`. Of `all` and an interface's own the kernel takes the greater, so `all` does the
/// work; `lo` is what operators look at, and what the scripts of old have set. An operator's stricter value (`arp_ignore` 2 or 8) keeps silence
/// too, and is left alone; `arp_ignore` 3 does not: it hides only addresses of host scope.
const ARP: [Setting; 4] = [
    Setting { file: "all/arp_ignore", ours: 1, serves: |value| matches!(value, 1 | 2 | 8), unless: None },
    Setting { file: "lo/arp_ignore", ours: 1, serves: |value| matches!(value, 1 | 2 | 8), unless: None },
    Setting { file: "all/arp_announce", ours: 2, serves: |value| value == 2, unless: None },
    Setting { file: "lo/arp_announce", ours: 2, serves: |value| value == 2, unless: None },
];

/// What a director's IPVS does with a client whose entry of the connection table is of a destination that is gone, or of a connection that has
/// ended, below `/proc/sys/net/ipv4/vs` (`ip_vs_in()` in `net/netfilter/ipvs/ip_vs_core.c`). By default it drops what the client sends, or sends
/// it to the same server, for the two minutes that a finished connection stays in the table with direct routing.
///
/// With connection tracking, rescheduling costs the client its first SYN and so a second, also with all servers up: there the removal of
/// entries along with their destination must do.
const IPVS: [Setting; 2] = [
    Setting { file: "expire_nodest_conn", ours: 1, serves: |value| value != 0, unless: None },
    Setting { file: "conn_reuse_mode", ours: 3, serves: |value| value & 2 != 0, unless: Some("conntrack") },
];
const VERSION: u32 = 1;

/// One sysctl.
struct Setting {
    file: &'static str,
    /// The value that the agent sets if the present one does not have the effect.
    ours: i64,
    /// Whether a value has the effect.
    serves: fn(i64) -> bool,
    /// A sysctl that makes this setting harmful: while it is on, the setting is left as it is.
    unless: Option<&'static str>,
}

/// What the settings were before this agent changed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    version: u32,
    /// The boot in which the agent changed them. A later boot began with its own settings, so nothing is to be put back then.
    boot: String,
    values: BTreeMap<String, i64>,
}

/// A group of settings of this network namespace.
#[derive(Clone)]
pub struct Sysctls {
    settings: &'static [Setting],
    directory: PathBuf,
    /// Settings that are not there are ignored: `ip_vs` is not loaded, or is older than the setting.
    optional: bool,
    boot_id: PathBuf,
    record: PathBuf,
}

impl Sysctls {
    /// ARP silence about addresses on `lo`. Former values are recorded in the agent's data directory.
    pub fn arp(data_dir: &Path) -> Self {
        Self::new(&ARP, "/proc/sys/net/ipv4/conf", false, data_dir.join("arp-former.json"))
    }

    /// How IPVS treats clients of destinations that were removed. Former values are recorded in the agent's data directory.
    pub fn ipvs(data_dir: &Path) -> Self {
        Self::new(&IPVS, "/proc/sys/net/ipv4/vs", true, data_dir.join("ipvs-former.json"))
    }

    fn new(settings: &'static [Setting], directory: &str, optional: bool, record: PathBuf) -> Self {
        Self { settings, directory: directory.into(), optional, boot_id: "/proc/sys/kernel/random/boot_id".into(), record }
    }

    /// The present state of the settings.
    pub fn state(&self) -> Result<SysctlState, DataPlaneError> {
        let mut in_force = true;
        for setting in self.settings {
            in_force &= self.failing(setting)?.is_none();
        }
        Ok(SysctlState { in_force, former_kept: self.former()?.is_some() })
    }

    /// Puts them in force. The former values are on disk before the first one is changed, and are never overwritten by the agent's own.
    pub fn enforce(&self) -> Result<(), DataPlaneError> {
        let mut former = self.former()?.unwrap_or(Former { version: VERSION, boot: self.boot()?, values: BTreeMap::new() });
        let mut changes = Vec::new();
        for setting in self.settings {
            if let Some(value) = self.failing(setting)? {
                former.values.entry(setting.file.to_owned()).or_insert(value);
                changes.push(setting);
            }
        }
        if !changes.is_empty() {
            let record = serde_json::to_vec_pretty(&former).expect("strings and numbers are JSON");
            durable::write(&self.record, &record)?;
        }
        changes.into_iter().try_for_each(|setting| self.set(setting.file, setting.ours))
    }

    /// Puts the former values back, except where another program has changed the agent's value meanwhile, and forgets them.
    pub fn restore(&self) -> Result<(), DataPlaneError> {
        let Some(former) = self.former()? else { return Ok(durable::remove(&self.record)?) };
        for setting in self.settings {
            if let Some(value) = former.values.get(setting.file)
                && self.value(setting.file)? == Some(setting.ours)
            {
                self.set(setting.file, *value)?;
            }
        }
        Ok(durable::remove(&self.record)?)
    }

    /// The present value, if it does not have the effect.
    fn failing(&self, setting: &Setting) -> Result<Option<i64>, DataPlaneError> {
        let Some(value) = self.value(setting.file)?.filter(|value| !(setting.serves)(*value)) else { return Ok(None) };
        let is_on = |switch| self.value(switch).map(|value| value.is_some_and(|value| value != 0));
        let spared = setting.unless.map_or(Ok(false), is_on)?;
        Ok((!spared).then_some(value))
    }

    /// The record of this boot. A record that cannot be decoded is ignored: the settings are then left as they are.
    fn former(&self) -> Result<Option<Former>, DataPlaneError> {
        let Some(content) = durable::read(&self.record, RECORD_BYTES)? else { return Ok(None) };
        let former: Option<Former> = serde_json::from_slice(&content).ok();
        let boot = self.boot()?;
        Ok(former.filter(|former| former.version == VERSION && former.boot == boot))
    }

    fn boot(&self) -> Result<String, DataPlaneError> {
        let text = fs::read_to_string(&self.boot_id).map_err(failed("read", &self.boot_id))?;
        Ok(text.trim().to_owned())
    }

    fn value(&self, file: &str) -> Result<Option<i64>, DataPlaneError> {
        let path = self.directory.join(file);
        let text = match fs::read_to_string(&path) {
            Err(error) if self.optional && error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed("read", &path))?,
        };
        let number = text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        number.map(Some).map_err(failed("understand", &path))
    }

    fn set(&self, file: &str, value: i64) -> Result<(), DataPlaneError> {
        let path = self.directory.join(file);
        fs::write(&path, value.to_string()).map_err(failed("write", &path))
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataPlaneError {
    move |source| DataPlaneError::File { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
