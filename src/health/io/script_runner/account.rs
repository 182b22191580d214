//! Looks up the user that scripts run as, which is never root.
//!
//! It reads `/etc/passwd` itself. libc would load modules of directory services (nsswitch.conf(5)) into a process that may become any user, would
//! wait for them at boot, and a statically linked program crashes on them.

use crate::config::{agent::ScriptUser, io::read_text};
use rustix::process::{Gid, Uid};
use std::{fs::File, io, path::Path};

/// The machine's users (passwd(5)).
const PASSWD: &str = "/etc/passwd";
/// A longer file is refused.
const MAX_PASSWD_BYTES: u64 = 16 << 20;

/// A user of this machine that is not root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name, for messages.
    pub name: String,
    /// Its number.
    pub uid: Uid,
    /// Its group. Scripts have no supplementary groups.
    pub gid: Gid,
}

/// Why scripts cannot be run as the user that agent.toml names.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such user.
    #[error(
        "agent.toml, [scripts] user: there is no {0} in {PASSWD}: make one with `useradd --system --shell /usr/sbin/nologin NAME`, or name another"
    )]
    Unknown(String),
    /// It is root, or its group is root's, which owns too much.
    #[error(
        "agent.toml, [scripts] user: {0} is user or group 0: give scripts a user of their own (useradd --system --shell /usr/sbin/nologin lvs-check)"
    )]
    Root(String),
    /// The file cannot be read.
    #[error("agent.toml, [scripts] user: cannot read {PASSWD}")]
    LookUp(#[source] io::Error),
}

impl Account {
    /// Looks a user up among the machine's users.
    ///
    /// # Errors
    /// There is no such user, or it is root.
    pub fn look_up(user: &ScriptUser) -> Result<Self, AccountError> {
        let text = File::open(Path::new(PASSWD)).and_then(|file| read_text(file, MAX_PASSWD_BYTES));
        Self::find(&text.map_err(AccountError::LookUp)?, user)
    }

    /// The first entry that fits, as libc does it. Malformed lines are skipped.
    fn find(passwd: &str, user: &ScriptUser) -> Result<Self, AccountError> {
        let fits = |name: &str, uid: u32| match user {
            ScriptUser::Name(wanted) => wanted == name,
            ScriptUser::Id(wanted) => *wanted == uid,
        };
        let found = passwd.lines().filter_map(entry).find(|(name, uid, _)| fits(name, *uid));
        match found.ok_or_else(|| AccountError::Unknown(user.to_string()))? {
            (_, 0, _) | (_, _, 0) => Err(AccountError::Root(user.to_string())),
            (name, uid, gid) => Ok(Self { name: name.to_owned(), uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) }),
        }
    }
}

/// Reads `name:password:uid:gid:…`. -1 is no user and no group (setresuid(2)).
fn entry(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let mut number = |skip| fields.nth(skip)?.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    Some((name, number(1)?, number(0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/:/bin/sh\nbroken\n:x:5:5::/:\nbad:x:997\nminus:x:4294967295:4::/:\n\
                         lvs-check:x:997:996::/nonexistent:/usr/sbin/nologin\nlvs-check:x:0:0::/:\noperator:x:11:0::/:\n";

    fn find(user: ScriptUser) -> Result<Account, String> {
        Account::find(USERS, &user).map_err(|error| error.to_string())
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let account = Account { name: "lvs-check".to_owned(), uid: Uid::from_raw(997), gid: Gid::from_raw(996) };
        assert_eq!(find(ScriptUser::Name("lvs-check".to_owned())), Ok(account.clone()));
        assert_eq!(find(ScriptUser::Id(997)), Ok(account));
        assert!(Account::look_up(&ScriptUser::Id(0)).is_err(), "this machine's own file");
    }

    #[test]
    fn root_and_its_group_are_refused_and_who_is_not_there_is_said_how_to_make() {
        for root in [ScriptUser::Name("root".to_owned()), ScriptUser::Id(0), ScriptUser::Name("operator".to_owned())] {
            assert!(find(root).unwrap_err().contains("is user or group 0"));
        }
        for unknown in ["no-such-user", "broken", "bad", "minus", "x"] {
            let why = find(ScriptUser::Name(unknown.to_owned())).unwrap_err();
            assert!(why.contains("[scripts] user: there is no ") && why.contains("useradd --system"), "{why}");
        }
    }
}
