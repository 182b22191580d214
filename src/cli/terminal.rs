//! The output of commands: stdout for results, stderr for progress and failures.

use super::{CommandFailure, Exit};
use std::io::{self, BufRead, IsTerminal, Read, Write, stderr, stdin, stdout};
use tokio::time::Instant;

/// Whether a stream gets colours: a terminal does, unless `NO_COLOR` is set to something (no-color.org).
pub(super) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), CommandFailure> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandFailure::new(Exit::Failed, format!("cannot write the result: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a warning on stderr.
pub(super) fn warn(lines: &str) {
    // If stderr is closed, there is nowhere left to report it.
    let _ = stderr().lock().write_all(lines.as_bytes());
}

/// Prints on stderr why a command failed.
pub(super) fn complain(failure: &CommandFailure) {
    let mut err = stderr().lock();
    for (number, line) in failure.lines.iter().enumerate() {
        // If stderr is closed, there is nowhere left to report it.
        let _ = if number == 0 { writeln!(err, "lvs-agent: {line}") } else { writeln!(err, "{line}") };
    }
}

/// Asks a person. Without a terminal it fails with a message that names `otherwise`.
pub(super) fn confirm(question: &str, otherwise: &str) -> Result<bool, CommandFailure> {
    if !stdin().is_terminal() {
        return Err(CommandFailure::new(Exit::Invalid, format!("there is no terminal to ask on: {otherwise}")));
    }
    let mut err = stderr();
    let asked = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    // An answer is one word; a longer line is cut.
    asked
        .and_then(|()| stdin().lock().take(80).read_line(&mut answer))
        .map_err(|error| CommandFailure::new(Exit::Failed, format!("cannot ask: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Steps of long work with the time since its beginning, on stderr where that is a terminal.
pub(super) struct Progress {
    begun: Instant,
    shown: bool,
    last: String,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), shown: stderr().is_terminal(), last: String::new() }
    }

    /// Shows a step, once however often it is said in a row.
    pub(super) fn step(&mut self, what: &str) {
        if self.last != what {
            self.again(what);
            what.clone_into(&mut self.last);
        }
    }

    /// Shows a step, even if it is the same as before.
    pub(super) fn again(&self, what: &str) {
        if self.shown {
            // A lost line of progress is no reason to stop.
            let _ = writeln!(stderr(), "[{:6.1} s] {what}", self.begun.elapsed().as_secs_f64());
        }
    }
}
