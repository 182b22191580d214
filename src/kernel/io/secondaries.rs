//! Keeps an interface's secondary addresses while a primary one is taken off. Without `promote_secondaries` (ip-sysctl.rst; systemd sets it, the
//! kernel's default is off) the kernel removes with an address all others of its subnet that came later: a machine's own may be one of them.

use super::address::AddressError;
use std::{fs, io, path::PathBuf};

/// While it lives, secondary addresses of an interface are kept.
#[derive(Debug)]
pub struct Secondaries {
    /// The sysctl that is to be put back.
    changed: Option<PathBuf>,
}

impl Secondaries {
    /// From now on.
    ///
    /// # Errors
    /// They cannot be kept.
    pub fn keep(interface: &str) -> Result<Self, AddressError> {
        // A name cannot contain a slash.
        let path = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries"));
        let changed = match turn_on(&path) {
            // An interface that is gone, or one without IPv4, has no such addresses.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => {
                let what = format!("keep the other addresses of {interface}");
                return Err(AddressError::Kernel { what, interface: interface.to_owned(), source });
            }
            Ok(changed) => changed,
        };
        Ok(Self { changed: changed.then_some(path) })
    }
}

/// Returns whether it was off.
fn turn_on(path: &PathBuf) -> io::Result<bool> {
    let is_off = fs::read_to_string(path)?.trim() == "0";
    if is_off {
        fs::write(path, "1")?;
    }
    Ok(is_off)
}

impl Drop for Secondaries {
    fn drop(&mut self) {
        if let Some(path) = &self.changed {
            // An interface that is gone meanwhile has no setting to put back.
            fs::write(path, "0").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_nothing_to_keep() {
        assert!(Secondaries::keep("no-such-if").unwrap().changed.is_none());
    }

    #[test]
    fn what_was_off_is_on_as_long_as_wanted() {
        let path = std::env::temp_dir().join(format!("lvs-agent-promote-{}", std::process::id()));
        for (before, meanwhile, after) in [("0\n", "1", "0"), ("1\n", "1\n", "1\n")] {
            fs::write(&path, before).unwrap();
            let kept = Secondaries { changed: turn_on(&path).unwrap().then(|| path.clone()) };
            assert_eq!(fs::read_to_string(&path).unwrap(), meanwhile);
            drop(kept);
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        fs::remove_file(path).unwrap();
    }
}
