//! Finds the file of a script, and checks that nobody but root can have written it.
//!
//! Every directory on the path is checked too, so that nobody but root can exchange the file between the check and the exec.

use super::account::Account;
use crate::model::ScriptName;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat},
    io::Errno,
    process::Uid,
};
use std::{
    fmt,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The directory that scripts are in.
#[derive(Clone, Debug)]
pub struct ScriptDirectory {
    /// The directory to begin with. It and all below it are checked.
    from: PathBuf,
    /// The path from there.
    way: PathBuf,
    /// The owner that all of it must have.
    owner: Uid,
}

impl ScriptDirectory {
    /// The directory with this absolute path. Everything on the path must be root's.
    pub fn new(directory: &Path) -> Self {
        let way = directory.strip_prefix("/").unwrap_or(directory).to_owned();
        Self { from: "/".into(), way, owner: Uid::ROOT }
    }

    /// The path of a script that `user` may safely run.
    ///
    /// # Errors
    /// Why there is none, with the name of the file and what to do.
    pub fn find(&self, script: &ScriptName, user: &Account) -> Result<PathBuf, String> {
        let mut path = self.from.clone();
        let mut folder = self.look(CWD, &path, &path, FileType::Directory)?.0;
        for part in &self.way {
            path.push(part);
            folder = self.look(&folder, Path::new(part), &path, FileType::Directory)?.0;
        }
        path.push(script.as_str());
        let (_, stat) = self.look(&folder, Path::new(script.as_str()), &path, FileType::RegularFile)?;
        if !may_execute(stat.st_mode, stat.st_gid, user) {
            return Err(format!("{} may not be executed by {}: chmod a+rx it", path.display(), user.name));
        }
        Ok(path)
    }

    /// Opens `name` in `folder` without following a link, and checks that only the owner can change it.
    fn look(&self, folder: impl AsFd, name: &Path, path: &Path, wanted: FileType) -> Result<(OwnedFd, Stat), String> {
        let shown = path.display();
        let opened = openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let seen = opened.and_then(|fd| fstat(&fd).map(|stat| (fd, stat)));
        let (fd, stat) = seen.map_err(|errno| match errno {
            Errno::NOENT => format!("there is no {shown} on this node: put the script there"),
            errno => format!("cannot look at {shown}: {}", std::io::Error::from(errno)),
        })?;
        match FileType::from_raw_mode(stat.st_mode) {
            is if is == wanted => {}
            FileType::Symlink => return Err(format!("{shown} is a symbolic link: put there what it points to")),
            _ if wanted == FileType::Directory => {
                return Err(format!("{shown} is no directory: see [scripts] directory in agent.toml"));
            }
            _ => return Err(format!("{shown} is no regular file: put the script there")),
        }
        if stat.st_uid != self.owner.as_raw() {
            return Err(format!("{shown} belongs to user {}, who could change it: chown root it", stat.st_uid));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(format!("{shown} can be written by others than root: chmod go-w it"));
        }
        Ok((fd, stat))
    }
}

impl fmt::Display for ScriptDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from.join(&self.way).display())
    }
}

/// Whether the mode lets `user` execute the file. The bits for group or others count, because the file's owner is root and the user is not.
fn may_execute(mode: u32, group: u32, user: &Account) -> bool {
    mode & if group == user.gid.as_raw() { 0o010 } else { 0o001 } != 0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rustix::process::{Gid, geteuid};
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
        sync::atomic::{AtomicU32, Ordering},
    };

    /// A directory of scripts that belongs to whoever runs the tests, below one that anybody may write in.
    pub(in super::super) struct Scratch {
        base: PathBuf,
    }

    impl Scratch {
        pub(in super::super) fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let name = format!("lvs-scripts-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let base = std::env::temp_dir().join(name);
            fs::create_dir_all(base.join("etc/checks")).unwrap();
            let scratch = Self { base };
            ["", "etc", "etc/checks"].iter().for_each(|folder| scratch.mode(folder, 0o755));
            scratch
        }

        pub(in super::super) fn write(&self, script: &str, text: &str) {
            let path = self.path(&format!("etc/checks/{script}"));
            fs::write(&path, text).unwrap();
            self.mode(&format!("etc/checks/{script}"), 0o755);
        }

        pub(in super::super) fn path(&self, path: &str) -> PathBuf {
            self.base.join(path)
        }

        fn mode(&self, path: &str, mode: u32) {
            fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
        }

        pub(in super::super) fn directory(&self) -> ScriptDirectory {
            ScriptDirectory { from: self.base.clone(), way: "etc/checks".into(), owner: geteuid() }
        }

        fn find(&self, script: &str) -> Result<PathBuf, String> {
            self.directory().find(&script.parse().unwrap(), &checker())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.base);
        }
    }

    /// Somebody who need not be in the machine's user database.
    pub(in super::super) fn checker() -> Account {
        Account { name: "lvs-check".to_owned(), uid: Uid::from_raw(54_321), gid: Gid::from_raw(54_322) }
    }

    #[test]
    fn a_script_that_only_its_owner_can_change_is_found() {
        let scratch = Scratch::new();
        scratch.write("up", "");
        assert_eq!(scratch.find("up"), Ok(scratch.path("etc/checks/up")));
    }

    #[test]
    fn what_is_missing_or_of_another_kind_is_said_with_its_path() {
        let scratch = Scratch::new();
        let said = |script: &str, what: &str| {
            let why = scratch.find(script).unwrap_err();
            assert!(why.contains(&format!("etc/checks/{script}")) && why.contains(what), "{why}");
        };
        said("gone", "put the script there");
        scratch.write("up", "");
        symlink("up", scratch.path("etc/checks/link")).unwrap();
        said("link", "is a symbolic link");
        fs::create_dir(scratch.path("etc/checks/folder")).unwrap();
        said("folder", "is no regular file");
        for (mode, what) in [
            (0o775, "chmod go-w"),
            (0o757, "chmod go-w"),
            (0o644, "may not be executed by lvs-check: chmod a+rx"),
            (0o750, "chmod a+rx"),
        ] {
            scratch.mode("etc/checks/up", mode);
            said("up", what);
        }
        scratch.mode("etc/checks/up", 0o755);
        assert!(scratch.find("up").is_ok());
    }

    #[test]
    fn a_directory_above_that_others_can_write_in_spoils_all_of_it() {
        let scratch = Scratch::new();
        scratch.write("up", "");
        for folder in ["", "etc", "etc/checks"] {
            for mode in [0o775, 0o757, 0o1777] {
                scratch.mode(folder, mode);
                let why = scratch.find("up").unwrap_err();
                assert!(why.contains("can be written by others than root: chmod go-w"), "{folder} {mode:o}: {why}");
            }
            scratch.mode(folder, 0o755);
        }
        fs::rename(scratch.path("etc"), scratch.path("etc2")).unwrap();
        symlink("etc2", scratch.path("etc")).unwrap();
        assert!(scratch.find("up").unwrap_err().contains("etc is a symbolic link"));
        // The directory for temporary files is everybody's.
        let all = ScriptDirectory { owner: geteuid(), ..ScriptDirectory::new(&scratch.path("etc2/checks")) };
        assert!(all.find(&"up".parse().unwrap(), &checker()).is_err());
    }

    #[test]
    fn what_belongs_to_somebody_else_is_not_run() {
        let scratch = Scratch::new();
        scratch.write("up", "");
        let directory = ScriptDirectory { owner: Uid::from_raw(geteuid().as_raw() + 1), ..scratch.directory() };
        assert!(directory.find(&"up".parse().unwrap(), &checker()).unwrap_err().contains("who could change it: chown root"));
    }

    #[test]
    fn a_script_of_the_users_group_is_executed_by_the_groups_bit() {
        let (user, group) = (checker(), checker().gid.as_raw());
        assert!(may_execute(0o750, group, &user) && !may_execute(0o745, group, &user));
        assert!(may_execute(0o705, group + 1, &user) && !may_execute(0o774, group + 1, &user));
    }
}
