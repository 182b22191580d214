//! One agent per data directory.

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// Why the data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error(
        "another lvs-agent (guard pid {pid}) runs on the data directory {dir}: stop it first, or give this one its own data_dir"
    )]
    Taken {
        /// Its guard's process id, as it wrote it.
        pid: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The lock file could not be used.
    #[error("cannot lock {path}: it must be a writable file")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Held as long as it lives, and by no process after this one: the file is closed on exec, and the kernel unlocks it when this process ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes `dir` if need be and takes it, or says who has it.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("guard.lock");
        let failed = |source| LockError::File { path: path.clone(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => (),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Taken { pid: written_pid(&mut file), dir: dir.to_owned() });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // The pid is for people; a full disk must not keep the guard from starting.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// The process that has this data directory, as it wrote it; `None`: none has, or it is not known which.
pub fn lock_holder(dir: &Path) -> Option<u32> {
    let mut file = File::open(dir.join("guard.lock")).ok()?;
    // A shared lock that is had for a moment is in nobody's way but of a guard that starts in this moment, which tries again.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => written_pid(&mut file).parse().ok(),
        Ok(()) | Err(_) => None,
    }
}

fn written_pid(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    match text.trim() {
        "" => "unknown".to_owned(),
        pid => pid.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_the_first_ones_pid_until_that_is_gone() {
        let dir = std::env::temp_dir().join(format!("lvs-agent-lock-{}", std::process::id()));
        let first = DataDirLock::take(&dir).unwrap();
        let refused = DataDirLock::take(&dir).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        assert_eq!(lock_holder(&dir), Some(std::process::id()));
        drop(first);
        assert_eq!(lock_holder(&dir), None);
        DataDirLock::take(&dir).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
