//! Writing to standard output and error without `println!`, which panics when the reader has gone.

use std::fmt::Display;
use std::io::Write;

/// One line on standard output. A reader that has gone away is not our error.
pub fn line(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// One line on standard error.
pub fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
