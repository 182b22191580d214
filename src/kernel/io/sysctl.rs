//! ARP silence of a real server: `arp_ignore` and `arp_announce` (Linux's ip-sysctl.rst), with the former values kept on disk.

use super::durable;
use crate::kernel::{ArpState, DataPlaneError};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The settings, below `/proc/sys/net/ipv4/conf`. Of `all` and an interface's own the kernel takes the greater, so `all` does the work; `lo` is
/// what operators look at, and what the scripts of old have set.
const SETTINGS: [Setting; 4] = [
    Setting { file: "all/arp_ignore", ours: 1, silent: |value| matches!(value, 1 | 2 | 8) },
    Setting { file: "lo/arp_ignore", ours: 1, silent: |value| matches!(value, 1 | 2 | 8) },
    Setting { file: "all/arp_announce", ours: 2, silent: |value| value == 2 },
    Setting { file: "lo/arp_announce", ours: 2, silent: |value| value == 2 },
];
const RECORD: &str = "arp-former.json";
const VERSION: u32 = 1;

/// One sysctl.
struct Setting {
    file: &'static str,
    /// What we set it to when it does not keep silence.
    ours: i64,
    /// Whether a value keeps silence about addresses on `lo`. An operator's stricter value (`arp_ignore` 2 or 8) does, and is left alone;
    /// `arp_ignore` 3 does not: it hides only addresses of host scope.
    silent: fn(i64) -> bool,
}

/// What the settings were before this agent changed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    version: u32,
    /// The boot in which we changed them: a later boot began with settings of its own, so nothing of ours is to be put back.
    boot: String,
    values: BTreeMap<String, i64>,
}

/// The ARP settings of this network namespace.
#[derive(Debug, Clone)]
pub struct ArpSettings {
    settings: PathBuf,
    boot_id: PathBuf,
    record: PathBuf,
}

impl ArpSettings {
    /// The kernel's settings, with a record in the agent's data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            settings: "/proc/sys/net/ipv4/conf".into(),
            boot_id: "/proc/sys/kernel/random/boot_id".into(),
            record: data_dir.join(RECORD),
        }
    }

    /// How they stand.
    pub fn state(&self) -> Result<ArpState, DataPlaneError> {
        let mut silenced = true;
        for setting in &SETTINGS {
            silenced &= (setting.silent)(self.value(setting.file)?);
        }
        Ok(ArpState { silenced, former_kept: self.former()?.is_some() })
    }

    /// Keeps silence. The former values are on disk before the first is changed, and are never overwritten by our own.
    pub fn silence(&self) -> Result<(), DataPlaneError> {
        let mut former = self.former()?.unwrap_or(Former { version: VERSION, boot: self.boot()?, values: BTreeMap::new() });
        let mut changes = Vec::new();
        for setting in &SETTINGS {
            let value = self.value(setting.file)?;
            if !(setting.silent)(value) {
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

    /// Puts the former values back, except where somebody has changed ours meanwhile, and forgets them.
    pub fn restore(&self) -> Result<(), DataPlaneError> {
        let Some(former) = self.former()? else { return durable::remove(&self.record) };
        for setting in &SETTINGS {
            if let Some(value) = former.values.get(setting.file)
                && self.value(setting.file)? == setting.ours
            {
                self.set(setting.file, *value)?;
            }
        }
        durable::remove(&self.record)
    }

    /// The record of this boot. One that cannot be read is worth nothing: the settings are then left as they are.
    fn former(&self) -> Result<Option<Former>, DataPlaneError> {
        let Some(content) = durable::read(&self.record)? else { return Ok(None) };
        let former: Option<Former> = serde_json::from_slice(&content).ok();
        let boot = self.boot()?;
        Ok(former.filter(|former| former.version == VERSION && former.boot == boot))
    }

    fn boot(&self) -> Result<String, DataPlaneError> {
        let text = fs::read_to_string(&self.boot_id).map_err(failed("read", &self.boot_id))?;
        Ok(text.trim().to_owned())
    }

    fn value(&self, file: &str) -> Result<i64, DataPlaneError> {
        let path = self.settings.join(file);
        let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
        let number = text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        number.map_err(failed("understand", &path))
    }

    fn set(&self, file: &str, value: i64) -> Result<(), DataPlaneError> {
        let path = self.settings.join(file);
        fs::write(&path, value.to_string()).map_err(failed("write", &path))
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataPlaneError {
    move |source| DataPlaneError::File { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that looks like `/proc/sys` and a data directory, gone at the end of the test.
    struct Machine {
        root: PathBuf,
        arp: ArpSettings,
    }

    impl Machine {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("lvs-agent-sysctl-{name}-{}", std::process::id()));
            let settings = root.join("conf");
            for directory in ["all", "lo"] {
                fs::create_dir_all(settings.join(directory)).unwrap();
            }
            let boot_id = root.join("boot_id");
            let arp = ArpSettings { settings, boot_id, record: root.join(RECORD) };
            let machine = Self { root, arp };
            machine.boot("first");
            machine
        }

        fn boot(&self, id: &str) {
            fs::write(&self.arp.boot_id, format!("{id}\n")).unwrap();
            SETTINGS.iter().for_each(|setting| self.arp.set(setting.file, 0).unwrap());
        }

        fn values(&self) -> [i64; 4] {
            SETTINGS.each_ref().map(|setting| self.arp.value(setting.file).unwrap())
        }

        fn state(&self) -> (bool, bool) {
            let state = self.arp.state().unwrap();
            (state.silenced, state.former_kept)
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.root).ok();
        }
    }

    #[test]
    fn silence_comes_and_goes() {
        let machine = Machine::new("comes-and-goes");
        assert_eq!(machine.state(), (false, false));
        machine.arp.silence().unwrap();
        assert_eq!((machine.values(), machine.state()), ([1, 1, 2, 2], (true, true)));
        machine.arp.restore().unwrap();
        assert_eq!((machine.values(), machine.state()), ([0, 0, 0, 0], (false, false)));
    }

    #[test]
    fn our_own_values_are_never_taken_for_the_former_ones() {
        let machine = Machine::new("own");
        machine.arp.set("all/arp_announce", 1).unwrap();
        machine.arp.silence().unwrap();
        machine.arp.set("all/arp_ignore", 0).unwrap(); // by hand, and put back:
        machine.arp.silence().unwrap();
        machine.arp.silence().unwrap();
        assert_eq!(machine.values(), [1, 1, 2, 2]);
        machine.arp.restore().unwrap();
        assert_eq!(machine.values(), [0, 0, 1, 0]);
    }

    #[test]
    fn an_operators_stricter_values_stay() {
        let machine = Machine::new("stricter");
        machine.arp.set("all/arp_ignore", 8).unwrap();
        machine.arp.silence().unwrap();
        assert_eq!(machine.values(), [8, 1, 2, 2]);
        machine.arp.set("lo/arp_announce", 1).unwrap(); // an operator's choice since then
        machine.arp.restore().unwrap();
        assert_eq!(machine.values(), [8, 0, 0, 1]);
    }

    #[test]
    fn a_value_that_lets_addresses_through_is_no_silence() {
        let machine = Machine::new("leaky");
        machine.arp.silence().unwrap();
        machine.arp.set("all/arp_ignore", 3).unwrap();
        assert!(!machine.arp.state().unwrap().silenced);
    }

    #[test]
    fn silence_that_was_there_already_leaves_no_record() {
        let machine = Machine::new("already");
        for setting in &SETTINGS {
            machine.arp.set(setting.file, setting.ours).unwrap();
        }
        machine.arp.silence().unwrap();
        assert_eq!(machine.state(), (true, false));
        machine.arp.restore().unwrap();
        assert_eq!(machine.values(), [1, 1, 2, 2]);
    }

    #[test]
    fn a_record_of_a_former_boot_is_void() {
        let machine = Machine::new("reboot");
        machine.arp.set("all/arp_announce", 1).unwrap();
        machine.arp.silence().unwrap();
        machine.boot("second");
        assert_eq!(machine.state(), (false, false));
        machine.arp.silence().unwrap();
        machine.arp.restore().unwrap();
        assert_eq!(machine.values(), [0, 0, 0, 0]);
    }

    #[test]
    fn nothing_is_changed_when_the_former_values_cannot_be_kept() {
        let machine = Machine::new("disk");
        let arp = ArpSettings { record: machine.root.join("no-such-directory").join(RECORD), ..machine.arp.clone() };
        assert!(matches!(arp.silence(), Err(DataPlaneError::File { doing: "write", .. })));
        assert_eq!(machine.values(), [0, 0, 0, 0]);
    }
}
