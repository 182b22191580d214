//! What a guard tells the program that it starts, by the environment: any two builds understand that.
//!
//! The guard starts the program that is on disk when it starts one. After an upgrade of the package that is another build than its own.

use crate::{
    base::build::VERSION,
    guard::protocol::{GUARD_CHANNEL, OTHER_BUILD},
};
use std::{env, process::Command};

/// The environment variable with the guard's [`GUARD_CHANNEL`].
const CHANNEL: &str = "LVS_AGENT_GUARD_CHANNEL";
/// The environment variable with the guard's [`VERSION`].
const GUARD_VERSION: &str = "LVS_AGENT_GUARD_VERSION";
/// The environment variable that is set where an administrator has withdrawn this node since the guard's start.
const WITHDRAWN: &str = "LVS_AGENT_WITHDRAWN";

/// Guard and program would not understand each other.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the guard that runs is of another build: it is lvs-agent {guard} and speaks version {channel} of the channel to its worker, this program is {VERSION} and speaks {GUARD_CHANNEL}: `systemctl restart lvs-agent`"
)]
pub struct OtherBuild {
    guard: String,
    channel: String,
}

impl OtherBuild {
    /// What the worker ends with, so that its guard knows.
    pub const EXIT: u8 = OTHER_BUILD;
}

/// Has `command`, a program that this guard starts, know of which build the guard is, and whether this node is withdrawn.
pub fn tell(command: &mut Command, withdrawn: bool) {
    command.env(CHANNEL, GUARD_CHANNEL.to_string()).env(GUARD_VERSION, VERSION);
    if withdrawn {
        command.env(WITHDRAWN, "1")
    } else {
        command.env_remove(WITHDRAWN)
    };
}

/// Whether the guard that has started this program knows its node as withdrawn.
pub fn is_withdrawn() -> bool {
    env::var_os(WITHDRAWN).is_some()
}

/// The version of the guard that has started this program.
///
/// # Errors
/// It speaks another version of the channel.
pub fn guard_version() -> Result<String, OtherBuild> {
    judge(env::var(CHANNEL).ok().as_deref(), env::var(GUARD_VERSION).ok().as_deref())
}

/// A guard that tells nothing is from before there was anything to tell.
fn judge(channel: Option<&str>, version: Option<&str>) -> Result<String, OtherBuild> {
    let guard = version.unwrap_or("of an unknown version").to_owned();
    match channel {
        Some(channel) if channel == GUARD_CHANNEL.to_string() => Ok(guard),
        told => Err(OtherBuild { guard, channel: told.unwrap_or("0").to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_of_the_same_channel_is_understood_whatever_its_version() {
        assert_eq!(judge(Some(&GUARD_CHANNEL.to_string()), Some("0.0.9")), Ok("0.0.9".to_owned()));
    }

    #[test]
    fn a_guard_of_another_channel_or_of_none_is_not_and_what_to_do_is_said() {
        for (channel, said) in [(Some((GUARD_CHANNEL + 1).to_string()), GUARD_CHANNEL + 1), (None, 0)] {
            let refused = judge(channel.as_deref(), Some("0.0.9")).unwrap_err().to_string();
            let begins = format!(
                "the guard that runs is of another build: it is lvs-agent 0.0.9 and speaks version {said} of the channel"
            );
            assert!(refused.starts_with(&begins) && refused.ends_with("`systemctl restart lvs-agent`"), "{refused}");
        }
    }

    #[test]
    fn a_program_that_this_guard_starts_is_told() {
        let mut command = Command::new("true");
        tell(&mut command, false);
        let told = |name: &str| {
            command.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| Some(value?.to_str()?.to_owned()))
        };
        assert_eq!(judge(told(CHANNEL).as_deref(), told(GUARD_VERSION).as_deref()), Ok(VERSION.to_owned()));
    }
}
