//! The ends of commands: stable exit codes, and the lines on stderr.

use crate::{
    api::{ClientError, UNCONFIRMED},
    base::errors::with_sources,
    config::{LoadError, Problems},
};
use std::process::ExitCode;

/// The exit codes, as `--help` lists them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Anything that has no code of its own.
    Failed = 1,
    /// Wrong usage, or a file or value that is not valid.
    Invalid = 2,
    /// The agent on this node does not answer its socket, or the one at `--server` its port.
    NotReachable = 3,
    /// No quorum, no seed, or no result in time.
    NoQuorum = 4,
    /// The cluster, this node's membership in it, or a certificate forbids it.
    Refused = 5,
    /// The agent answers, but its node's member cannot start; `lvs-agent status` says why.
    NotStarted = 6,
    /// `plan --exit-code`: there are changes.
    Changes = 10,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandFailure {
    /// The exit code.
    pub exit: Exit,
    /// The lines for stderr.
    pub lines: Vec<String>,
}

impl CommandFailure {
    /// A failure that one line explains.
    pub fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, lines: vec![line.into()] }
    }
}

impl From<ClientError> for CommandFailure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotReachable { .. } | ClientError::NotAllowed(_) | ClientError::ServerNotReachable { .. } => {
                Exit::NotReachable
            }
            ClientError::NotTrusted { .. } => Exit::Refused,
            ClientError::NoAnswer(_) => Exit::NoQuorum,
            ClientError::Protocol(_) => Exit::Failed,
            ClientError::Refused { code, .. } => match *code {
                400 | 413 | 422 | UNCONFIRMED => Exit::Invalid,
                401 | 403 | 409 => Exit::Refused,
                424 => Exit::NotStarted,
                502..=504 => Exit::NoQuorum,
                _ => Exit::Failed,
            },
        };
        let mut lines = vec![with_sources(&error)];
        if let ClientError::Refused { body, .. } = error {
            lines.extend(body.details);
        }
        Self { exit, lines }
    }
}

impl From<Problems> for CommandFailure {
    fn from(problems: Problems) -> Self {
        let count = problems.list.len();
        let mut lines = vec![format!("{} has {count} problem{}", problems.file, if count == 1 { "" } else { "s" })];
        lines.extend(problems.lines());
        Self { exit: Exit::Invalid, lines }
    }
}

impl From<LoadError> for CommandFailure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Invalid(problems) => problems.into(),
            LoadError::Missing { .. } | LoadError::SaysNothing { .. } | LoadError::Read { .. } => {
                Self::new(Exit::Invalid, with_sources(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ErrorBody;
    use std::{io, time::Duration};

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let refused =
            |code| ClientError::Refused { code, body: ErrorBody { error: "no".to_owned(), details: vec!["why".to_owned()] } };
        let not_found = io::Error::from(io::ErrorKind::NotFound);
        let ends = [
            (ClientError::NotReachable { socket: "/s".into(), source: not_found }, 3),
            (ClientError::NotAllowed("/s".into()), 3),
            (ClientError::ServerNotReachable { server: "d1:1".to_owned(), source: io::ErrorKind::TimedOut.into() }, 3),
            (ClientError::NotTrusted { server: "d1:1".to_owned(), why: String::new() }, 5),
            (ClientError::NoAnswer(Duration::from_secs(1)), 4),
            (ClientError::Protocol(String::new()), 1),
            (refused(400), 2),
            (refused(401), 5),
            (refused(403), 5),
            (refused(409), 5),
            (refused(413), 2),
            (refused(422), 2),
            (refused(424), 6),
            (refused(428), 2),
            (refused(500), 1),
            (refused(502), 4),
            (refused(503), 4),
            (refused(504), 4),
        ];
        for (error, code) in ends {
            let said = error.to_string();
            assert_eq!(CommandFailure::from(error).exit as u8, code, "{said}");
        }
        assert_eq!(CommandFailure::from(refused(422)).lines, ["no", "why"]);
        assert_eq!([Exit::Ok as u8, Exit::Changes as u8], [0, 10]);
    }
}
