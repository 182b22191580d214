//! When a run came how far, by the clock of the machine outside: in virtual time the guest's own says nothing of what a run costs.
//!
//! A mark is an empty file in the job directory. The machine's kernel dates it, so the lab needs no clock but its own.

use super::{job, paths};
use anyhow::{Context, Result};
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

const FOLDER: &str = "marks";
/// More marks than any run sets.
const MOST: usize = 10_000;

/// What a mark may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A script is the next.
    Begin(String),
    /// The hosts have power.
    Booted,
    /// A cluster is to be formed, or to come back from its disks.
    Form,
    /// It serves.
    Formed,
}

impl Mark {
    fn parse(name: &str) -> Option<Self> {
        match name.split_once('.')?.1 {
            "booted" => Some(Self::Booted),
            "form" => Some(Self::Form),
            "formed" => Some(Self::Formed),
            other => other.strip_prefix("begin.").map(|script| Self::Begin(script.to_owned())),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(script) => write!(f, "begin.{script}"),
            Self::Booted => f.write_str("booted"),
            Self::Form => f.write_str("form"),
            Self::Formed => f.write_str("formed"),
        }
    }
}

/// Makes the folder for marks, before the lab starts.
pub fn prepare(job_folder: &Path) -> Result<()> {
    std::fs::create_dir(job_folder.join(FOLDER)).context("make room for marks")
}

/// Sets a mark, from inside the lab. Only the account of a run's time depends on it, so a failure is no failure of the run.
pub fn set(mark: &Mark) {
    let folder = Path::new(paths::JOB).join(FOLDER);
    let first = std::fs::read_dir(&folder).map_or(MOST, Iterator::count);
    for number in first..MOST {
        let path = folder.join(format!("{number:04}.{mark}"));
        match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            _ => return,
        }
    }
}

/// The marks that were set, with their times, in their order.
pub fn read(job_folder: &Path) -> Vec<(Mark, SystemTime)> {
    let Ok(entries) = std::fs::read_dir(job_folder.join(FOLDER)) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries.flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    files
        .iter()
        .filter_map(|file| Some((Mark::parse(file.file_name().to_str()?)?, file.metadata().ok()?.modified().ok()?)))
        .collect()
}

/// How many scripts have begun so far.
pub fn scripts(job_folder: &Path) -> usize {
    read(job_folder).iter().filter(|(mark, _)| matches!(mark, Mark::Begin(_))).count()
}

/// Where the time of one script went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The script's name; that of the run where it is the only one.
    pub script: String,
    /// From the end of the one before it, or the start of the run.
    pub total: Duration,
    /// Until the hosts had power.
    pub boot: Duration,
    /// Until the cluster served, each time that it was formed.
    pub formation: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, boot, formation, .. } = self;
        write!(f, "total_ms={} boot_ms={} formation_ms={}", total.as_millis(), boot.as_millis(), formation.as_millis())
    }
}

/// Adds up what the marks say of a run from `start` to `end`.
pub fn account(marks: &[(Mark, SystemTime)], start: SystemTime, end: SystemTime) -> Vec<Times> {
    let between = |from: SystemTime, to: SystemTime| to.duration_since(from).unwrap_or_default();
    let mut rows = vec![Times::default()];
    // The first script bears the boot.
    let (mut begun, mut forming) = (start, None);
    for (mark, at) in marks {
        let Some(row) = rows.last_mut() else { break };
        match mark {
            Mark::Begin(script) if row.script.is_empty() => row.script.clone_from(script),
            Mark::Begin(script) => {
                row.total = between(begun, *at);
                (begun, forming) = (*at, None);
                rows.push(Times { script: script.clone(), ..Times::default() });
            }
            Mark::Booted => row.boot = between(begun, *at).saturating_sub(row.formation),
            Mark::Form => forming = Some(*at),
            Mark::Formed => row.formation += forming.take().map_or(Duration::ZERO, |from| between(from, *at)),
        }
    }
    if let Some(last) = rows.last_mut() {
        last.total = between(begun, end);
    }
    rows
}

/// The time that the machine's file system writes into a mark.
#[expect(
    clippy::disallowed_methods,
    reason = "marks are files: the guest's clock in their content would be virtual, their time is the machine's"
)]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// Writes the account of a run to the caller's folder, if it has one: `times`, or `SCRIPT/times` where several shared the boot.
pub fn report(order: &job::Job, job_folder: &Path, start: SystemTime) -> Result<()> {
    let Some(folder) = order.env.get("LVS_LAB_OUT").map(Path::new) else {
        return Ok(());
    };
    for times in account(&read(job_folder), start, now()) {
        let path = folder.join(&times.script).join("times");
        if path.parent().is_some_and(Path::is_dir) {
            std::fs::write(&path, format!("{times}\n")).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn row(script: &str, total: u64, boot: u64, formation: u64) -> Times {
        let [total, boot, formation] = [total, boot, formation].map(Duration::from_secs);
        Times { script: script.to_owned(), total, boot, formation }
    }

    #[test]
    fn a_mark_is_found_again_by_its_file() {
        for mark in [Mark::Begin("a.b".into()), Mark::Booted, Mark::Form, Mark::Formed] {
            assert_eq!(Mark::parse(&format!("0007.{mark}")), Some(mark));
        }
        assert_eq!(Mark::parse("0007.else"), None);
    }

    #[test]
    fn a_run_of_one_script_has_one_row_without_a_name() {
        let marks =
            [(Mark::Booted, at(4)), (Mark::Form, at(4)), (Mark::Formed, at(9)), (Mark::Form, at(20)), (Mark::Formed, at(21))];
        assert_eq!(account(&marks, at(0), at(30)), [row("", 30, 4, 6)]);
    }

    #[test]
    fn the_first_of_several_scripts_bears_the_boot() {
        let marks = [
            (Mark::Begin("one".into()), at(3)),
            (Mark::Booted, at(4)),
            (Mark::Form, at(4)),
            (Mark::Formed, at(10)),
            (Mark::Booted, at(11)),
            (Mark::Form, at(11)),
            (Mark::Formed, at(13)),
            (Mark::Begin("two".into()), at(20)),
            (Mark::Booted, at(21)),
        ];
        assert_eq!(account(&marks, at(0), at(30)), [row("one", 20, 5, 8), row("two", 10, 1, 0)]);
    }

    #[test]
    fn a_run_that_died_early_is_accounted_for_too() {
        assert_eq!(account(&[], at(0), at(3)), [row("", 3, 0, 0)]);
    }
}
