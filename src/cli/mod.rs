//! The command line: arguments, one file a command, pure renderers.

pub mod args;
mod commands;
pub mod exit;
pub mod log;
mod render;
mod terminal;

pub use args::{Args, CliCommand};
pub use commands::run;
pub use exit::{Exit, Failure};

/// Says on stderr why the program fails, and how it exits.
pub fn fail(failure: &Failure) -> std::process::ExitCode {
    terminal::complain(failure);
    failure.exit.into()
}
