//! Whose rights scripts have: looked up once, and never root.

use crate::config::agent::ScriptUser;
use nix::unistd::User;
use rustix::process::{Gid, Uid};

/// A user of this machine that is not root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name, for messages.
    pub name: String,
    /// Its number.
    pub uid: Uid,
    /// Its group. It has no other: what belongs to a group by the way is nothing for scripts.
    pub gid: Gid,
}

/// Why scripts cannot be run as the user that agent.toml names.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountError {
    /// There is none.
    #[error(
        "agent.toml, [scripts] user: this machine has no user {0}: make one with `useradd --system --shell /usr/sbin/nologin NAME`, or name another"
    )]
    Unknown(String),
    /// It is root, or in its group, which owns too much.
    #[error(
        "agent.toml, [scripts] user: {0} is user or group 0: give scripts a user of their own (useradd --system --shell /usr/sbin/nologin lvs-check)"
    )]
    Root(String),
    /// It cannot be found out.
    #[error("agent.toml, [scripts] user: cannot look up {user}: {why}")]
    LookUp {
        /// Which.
        user: String,
        /// Why.
        why: String,
    },
}

impl Account {
    /// Asks the machine's user database.
    ///
    /// # Errors
    /// There is no such user, or it is root.
    pub fn look_up(user: &ScriptUser) -> Result<Self, AccountError> {
        let found = match user {
            ScriptUser::Name(name) => User::from_name(name),
            ScriptUser::Id(id) => User::from_uid((*id).into()),
        };
        let found = found.map_err(|errno| AccountError::LookUp { user: user.to_string(), why: errno.desc().to_owned() })?;
        let found = found.ok_or_else(|| AccountError::Unknown(user.to_string()))?;
        if found.uid.is_root() || found.gid.as_raw() == 0 {
            return Err(AccountError::Root(user.to_string()));
        }
        Ok(Self { name: found.name, uid: Uid::from_raw(found.uid.as_raw()), gid: Gid::from_raw(found.gid.as_raw()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number_and_is_never_root() {
        let nobody = Account::look_up(&ScriptUser::Name("nobody".to_owned())).unwrap();
        assert_eq!(Account::look_up(&ScriptUser::Id(nobody.uid.as_raw())), Ok(nobody));
        for root in [ScriptUser::Name("root".to_owned()), ScriptUser::Id(0)] {
            assert_eq!(Account::look_up(&root), Err(AccountError::Root(root.to_string())));
        }
        let unknown = Account::look_up(&ScriptUser::Name("no-such-user".to_owned())).unwrap_err().to_string();
        assert!(unknown.contains("[scripts] user") && unknown.contains("useradd --system"), "{unknown}");
    }
}
