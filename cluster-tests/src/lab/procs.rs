//! Which processes run on a host: found by the network namespace they are in.

use super::ticks;
use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// One live process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Command line, word by word.
    pub words: Vec<String>,
}

impl Process {
    /// The last part of the program's path as it was called.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word))
    }
}

/// Every process in the network namespace with this inode, by number. Zombies have no namespace and are not listed.
pub fn in_namespace(inode: u64) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut found: Vec<Process> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| std::fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|meta| meta.ino() == inode))
        .filter_map(read)
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn read(pid: i32) -> Option<Process> {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Process {
        pid,
        parent: parent(&stat)?,
        words: words
            .split(|&byte| byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    })
}

/// The fourth field of /proc/PID/stat; the second, in brackets, may hold blanks and brackets itself.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal; a process that has gone meanwhile is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills all that runs in a network namespace, again until nothing is left: one process may be forking while we look.
pub fn kill_namespace(inode: u64, limit: Duration) -> Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let emptied = ticks::poll(limit, Duration::from_millis(1), || {
        let left: Vec<Process> = in_namespace(inode).into_iter().filter(|process| process.pid != own).collect();
        left.iter().for_each(|process| signal(process.pid, Signal::KILL));
        left.is_empty()
    });
    if !emptied {
        bail!("processes survived SIGKILL for {limit:?}: {:?}", in_namespace(inode));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_confuse_the_parent() {
        assert_eq!(parent("42 (a) b) c) S 7 42 42 0"), Some(7));
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn this_test_finds_itself_by_its_namespace() {
        let inode = std::fs::metadata("/proc/self/ns/net").unwrap().ino();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(in_namespace(inode).iter().any(|process| process.pid == own));
    }
}
