//! The messages between worker and script runner, and how the end of a script becomes the result of a probe. Pure.

use super::hysteresis::Grade;
use crate::model::{
    ScriptName, ServerName, ServiceName, TrackName,
    check::{MAX_ARGS, is_script_arg},
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Duration};

/// Most scripts under way at a time. Each is a process, so that a cluster file alone cannot fill a node with processes.
pub const MAX_UNDER_WAY: usize = 64;
/// Longest request to run a script: its arguments, and less than half a kilobyte besides.
pub const MAX_RUN_BYTES: usize = 16 << 10;
/// Longest report.
pub const MAX_REPORT_BYTES: usize = 4 << 10;
/// Longest timeout, as the cluster file has it.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Most characters of a script's first line that are kept.
pub const MAX_LINE_CHARS: usize = 120;

/// Why a script check is not run where agent.toml has no `[scripts]`.
pub const OFF: &str = "script checks are off on this node: [scripts] in agent.toml";
/// Why no script check is run once the runner has ended. The guard cannot start it again, because it has given up the rights for that.
pub const GONE: &str = "the script runner is gone: restart the agent";

/// The run that a report is about. The runner outlives workers, so each worker draws a number of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RunId {
    /// A random number, drawn when the worker started.
    pub life: u64,
    /// The number of the run, counted by that worker.
    pub number: u64,
}

/// The request to run one script once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScriptRun {
    /// Comes back in the report.
    pub id: RunId,
    /// The script.
    pub script: ScriptName,
    /// Its arguments.
    pub args: Vec<String>,
    /// The script is killed after this time.
    pub timeout: Duration,
    /// What it is run for.
    pub subject: ScriptSubject,
}

/// What a script is run for; its environment says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ScriptSubject {
    /// A real server.
    Server {
        /// `LVS_ADDRESS` and `LVS_PORT`.
        address: SocketAddr,
        /// `LVS_SERVICE`
        service: ServiceName,
        /// `LVS_SERVER`
        server: ServerName,
    },
    /// The node itself: a track, `LVS_TRACK`.
    Track(TrackName),
}

impl ScriptSubject {
    /// The variables that tell it to the script.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            ScriptSubject::Server { address, service, server } => vec![
                ("LVS_ADDRESS", address.ip().to_string()),
                ("LVS_PORT", address.port().to_string()),
                ("LVS_SERVICE", service.to_string()),
                ("LVS_SERVER", server.to_string()),
            ],
            ScriptSubject::Track(track) => vec![("LVS_TRACK", track.to_string())],
        }
    }
}

impl ScriptRun {
    /// Whether it stays within what a cluster file may say. The runner has rights that the worker lacks, so it checks this itself.
    pub fn is_proper(&self) -> bool {
        self.args.len() <= MAX_ARGS && self.args.iter().all(|arg| is_script_arg(arg)) && self.timeout <= MAX_TIMEOUT
    }
}

/// The runner's first message: it is ready, or why not.
pub type RunnerReady = Result<(), String>;

/// How a script ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ScriptEnd {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// It was killed for taking too long.
    TimedOut,
    /// It was not run, for want of something that may be there again soon.
    NotNow(String),
    /// It cannot be run on this node until an operator changes something; the text says what, and where.
    Unable(String),
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScriptReport {
    /// The run.
    pub id: RunId,
    /// How it ended.
    pub ended: ScriptEnd,
    /// The first line that the script wrote, see [`FirstLine`].
    pub line: String,
}

/// The result of a probe by script. The first line of a script that passes is left out, because it may differ each time.
pub fn judged(ended: ScriptEnd, line: &str, timeout: Duration) -> (Grade, String) {
    let with_line = |what: String| if line.is_empty() { what } else { format!("{what}: {line}") };
    match ended {
        ScriptEnd::Exited(0) => (Grade::Passed, "exit 0".to_owned()),
        ScriptEnd::Exited(code) => (Grade::Failed, with_line(format!("exit {code}"))),
        ScriptEnd::Killed(signal) => (Grade::Failed, with_line(format!("killed by signal {signal}"))),
        ScriptEnd::TimedOut => (Grade::Failed, with_line(format!("timeout after {} ms", timeout.as_millis()))),
        ScriptEnd::NotNow(why) => (Grade::NotAsked, format!("not asked: {why}")),
        ScriptEnd::Unable(why) => (Grade::Unable, why),
    }
}

/// Reads the output of a script, and keeps the first line that is not blank, up to [`MAX_LINE_CHARS`].
#[derive(Clone, Debug, Default)]
pub struct FirstLine {
    bytes: Vec<u8>,
    complete: bool,
}

impl FirstLine {
    /// UTF-8 has four bytes a character at the most.
    const MAX_BYTES: usize = 4 * MAX_LINE_CHARS;

    /// The next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.complete {
                return;
            }
            match byte {
                b'\n' => self.complete = !self.bytes.is_empty(),
                byte if self.bytes.is_empty() && byte.is_ascii_whitespace() => {}
                byte => self.bytes.push(byte),
            }
            self.complete |= self.bytes.len() >= Self::MAX_BYTES;
        }
    }

    /// The line without control characters, at most [`MAX_LINE_CHARS`] long.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_LINE_CHARS).collect();
        clean.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::codec;
    use proptest::prelude::*;

    fn line(pieces: &[&[u8]]) -> String {
        let mut line = FirstLine::default();
        pieces.iter().for_each(|piece| line.take(piece));
        line.text()
    }

    #[test]
    fn the_first_line_that_is_not_blank_is_told_however_it_arrives() {
        assert_eq!(line(&[b"replica is 40 s behind\nmore\n"]), "replica is 40 s behind");
        assert_eq!(line(&[b"\n \r\n", b"  a", b"b \r\n", b"c"]), "ab");
        assert_eq!(line(&[b"no end"]), "no end");
        assert_eq!(line(&[]), "");
        assert_eq!(line(&[b"\x1b[31mred\x07\xff\n"]), " [31mred \u{fffd}");
        assert_eq!(line(&["é".repeat(1000).as_bytes()]).chars().count(), MAX_LINE_CHARS);
    }

    proptest! {
        #[test]
        fn no_output_takes_much_memory_or_spoils_a_terminal(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut line = FirstLine::default();
            pieces.iter().for_each(|piece| line.take(piece));
            prop_assert!(line.bytes.len() <= FirstLine::MAX_BYTES);
            prop_assert!(!line.text().chars().any(char::is_control));
        }
    }

    #[test]
    fn a_script_is_judged_by_its_exit_and_its_first_line_says_why() {
        let timeout = Duration::from_millis(500);
        let judged = |ended, line: &str| judged(ended, line, timeout);
        for (ended, line, grade, what) in [
            (ScriptEnd::Exited(0), "12 queries", Grade::Passed, "exit 0"),
            (ScriptEnd::Exited(2), "no replication", Grade::Failed, "exit 2: no replication"),
            (ScriptEnd::Exited(1), "", Grade::Failed, "exit 1"),
            (ScriptEnd::Killed(11), "", Grade::Failed, "killed by signal 11"),
            (ScriptEnd::TimedOut, "waiting", Grade::Failed, "timeout after 500 ms: waiting"),
            (ScriptEnd::NotNow("too many".to_owned()), "", Grade::NotAsked, "not asked: too many"),
            (ScriptEnd::Unable(OFF.to_owned()), "", Grade::Unable, OFF),
        ] {
            assert_eq!(judged(ended, line), (grade, what.to_owned()));
        }
    }

    fn order(args: Vec<String>, timeout: Duration) -> ScriptRun {
        ScriptRun {
            id: RunId { life: u64::MAX, number: u64::MAX },
            script: "x".repeat(63).parse().unwrap(),
            args,
            timeout,
            subject: ScriptSubject::Server {
                address: "10.0.0.1:80".parse().unwrap(),
                service: "y".repeat(63).parse().unwrap(),
                server: "z".repeat(63).parse().unwrap(),
            },
        }
    }

    #[test]
    fn the_longest_order_and_report_fit_and_others_are_refused() {
        let arg = "a".repeat(256);
        let longest = order(vec![arg.clone(); MAX_ARGS], MAX_TIMEOUT);
        assert!(longest.is_proper() && codec::encode(&longest, MAX_RUN_BYTES).is_ok());
        let second = Duration::from_secs(1);
        for (args, timeout) in [
            (vec![arg.clone(); MAX_ARGS + 1], second),
            (vec![arg + "a"], second),
            (vec!["a\0b".to_owned()], second),
            (Vec::new(), MAX_TIMEOUT * 2),
        ] {
            assert!(!order(args, timeout).is_proper());
        }
        let report =
            ScriptReport { id: longest.id, ended: ScriptEnd::Exited(i32::MIN), line: "\u{10ffff}".repeat(MAX_LINE_CHARS) };
        assert!(codec::encode(&report, MAX_REPORT_BYTES).is_ok());
    }
}
