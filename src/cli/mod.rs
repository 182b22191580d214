//! The command line: arguments, one file a command, pure renderers.

pub mod args;
mod commands;
pub mod exit;
pub mod log;
mod render;
mod terminal;

pub use args::{Args, CliCommand};
pub use commands::run;
pub use exit::{CommandFailure, Exit};

/// Prints on stderr why the program fails, and gives its exit code.
pub fn fail(failure: &CommandFailure) -> std::process::ExitCode {
    terminal::complain(failure);
    failure.exit.into()
}
