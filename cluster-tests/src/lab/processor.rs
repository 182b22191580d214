//! Which processor a guest kernel runs on: one of its own, as far as there are enough.
//!
//! The processes of a User-Mode Linux guest hand over to each other at every system call, and across processors each of these
//! hand-overs costs a wake-up: the same scenario took 98.8 s unbound and 31.3 s bound to one processor.

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Guests that one processor takes before a further one stays unbound.
const MOST_PER_PROCESSOR: usize = 8;

/// A guest's place on a processor, taken as long as this lives.
#[derive(Debug)]
pub struct Place {
    /// The processor.
    pub processor: usize,
    _lock: File,
}

/// Binds this process, and the guest that it will start, to the processor with the fewest guests; the later one where several have as
/// few. None where there is no room: the guest then runs unbound.
///
/// # Errors
/// When the kernel refuses to bind, or the places cannot be looked at.
pub fn bind() -> Result<Option<Place>> {
    let allowed = sched_getaffinity(None).context("ask for this process's processors")?;
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).rev().filter(|&processor| allowed.is_set(processor)).collect();
    let Some(place) = take(&places(), &processors)? else { return Ok(None) };
    let mut one = CpuSet::new();
    one.set(place.processor);
    sched_setaffinity(None, &one).with_context(|| format!("bind the guest to processor {}", place.processor))?;
    Ok(Some(place))
}

/// Where all labs of a machine keep their locks.
fn places() -> PathBuf {
    let shared = Path::new("/run/lock");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}

fn take(folder: &Path, processors: &[usize]) -> Result<Option<Place>> {
    for guest in 0..MOST_PER_PROCESSOR {
        for &processor in processors {
            let path = folder.join(format!("lvs-lab-processor.{processor}.{guest}"));
            let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let lock = open.with_context(|| format!("open {}", path.display()))?;
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Place { processor, _lock: lock })),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(error) => return Err(error).with_context(|| format!("lock {}", path.display())),
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_that_run_at_once_are_spread_and_a_freed_place_is_taken_again() {
        let folder = std::env::temp_dir().join(format!("lvs-lab-processor-test.{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let next = || take(&folder, &[1, 0]).unwrap();
        let mut taken: Vec<Place> = (0..5).map(|_| next().unwrap()).collect();
        assert_eq!(taken.iter().map(|place| place.processor).collect::<Vec<_>>(), [1, 0, 1, 0, 1]);
        drop(taken.remove(1));
        assert_eq!(next().unwrap().processor, 0);
        let full: Vec<Place> = std::iter::from_fn(next).collect();
        assert!(next().is_none(), "{} more were taken, then one too many", full.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
