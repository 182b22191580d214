//! Health checks: how a real server is probed, and how often.

use super::{duration::DurationText, name::ScriptName};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// An inclusive range of HTTP status codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusRange {
    /// Lowest code accepted.
    pub first: u16,
    /// Highest code accepted.
    pub last: u16,
}

impl StatusRange {
    /// Whether `code` lies in the range.
    pub fn contains(self, code: u16) -> bool {
        (self.first..=self.last).contains(&code)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// How a server is probed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CheckKind {
    /// The server accepts a TCP connection.
    Tcp,
    /// The server answers `GET path` with one of the codes.
    Http {
        /// Path and query, beginning with `/`.
        path: String,
        /// `Host` header; the server's address when absent.
        host: Option<String>,
        /// Accepted codes.
        status: Vec<StatusRange>,
    },
    /// A script on the observer's node exits with 0.
    Script {
        /// The name of its file in the directory that the node's agent.toml names.
        script: ScriptName,
        /// Its arguments, within [`MAX_ARGS`] and [`MAX_ARG_BYTES`], without control characters.
        args: Vec<String>,
    },
}

/// Most arguments of a script.
pub const MAX_ARGS: usize = 32;
/// Longest argument of a script.
pub const MAX_ARG_BYTES: usize = 256;

/// Whether `arg` may be an argument of a script. It may not contain control characters, because it is shown to people, and a NUL separates arguments in
/// the check fingerprint.
pub fn is_script_arg(arg: &str) -> bool {
    arg.len() <= MAX_ARG_BYTES && !arg.chars().any(char::is_control)
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckKind::Tcp => f.write_str("tcp"),
            CheckKind::Http { path, host, status } => {
                write!(f, "http GET {path}")?;
                if let Some(host) = host {
                    write!(f, " host {host}")?;
                }
                let ranges: Vec<String> = status.iter().map(ToString::to_string).collect();
                write!(f, " expects {}", ranges.join(","))
            }
            CheckKind::Script { script, args } => {
                write!(f, "script {script}")?;
                args.iter().try_for_each(|arg| write!(f, " {}", Shown(arg)))
            }
        }
    }
}

/// Shows an argument roughly as a shell would want it: in quotes where it is empty or has spaces in it.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.0.is_empty() && !self.0.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\\'));
        if plain { f.write_str(self.0) } else { write!(f, "{:?}", self.0) }
    }
}

/// A health check with its times and hysteresis.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// How the server is probed.
    pub kind: CheckKind,
    /// The port that is probed; the server's if `None`.
    pub port: Option<u16>,
    /// Time between two probes of one observer, while they pass.
    pub interval: Duration,
    /// A probe that has not passed after this time has failed.
    pub timeout: Duration,
    /// Failures in a row after which an observer finds the server down. At least 1.
    pub fall: u8,
    /// Successes in a row after which an observer finds the server up. At least 1.
    pub rise: u8,
}

/// The check in one line: `tcp every 1s, timeout 500ms, fall 2, rise 2`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { kind, port, interval, timeout, fall, rise } = self;
        write!(f, "{kind}")?;
        if let Some(port) = port {
            write!(f, " port {port}")?;
        }
        let (interval, timeout) = (DurationText(*interval), DurationText(*timeout));
        write!(f, " every {interval}, timeout {timeout}, fall {fall}, rise {rise}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_shown_with_its_arguments_told_apart() {
        let args = ["--user", "lvs check", "", "a\"b"].map(str::to_owned).to_vec();
        let kind = CheckKind::Script { script: "check-mysql".parse().unwrap(), args };
        assert_eq!(kind.to_string(), r#"script check-mysql --user "lvs check" "" "a\"b""#);
    }
}
