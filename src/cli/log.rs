//! Sets up the log of the guard and the worker: stderr, one line an event.

use super::args::{LogArgs, LogFormat};
use std::io::stderr;
use tracing_subscriber::EnvFilter;

/// The libraries log at every heartbeat what this agent logs in its own words, and calls to a Raft that ends as errors.
/// The user's filter comes after this one and overrides it.
const QUIET: &str = "openraft=error,openraft::raft::raft_inner=off,chitchat=warn";

/// Logs to stderr from now on, what the arguments (or `LVS_AGENT_LOG`) say, else what the configuration says.
pub fn start(args: &LogArgs, configured: &str) {
    let wanted = args.log.as_deref().unwrap_or(configured);
    let filter =
        EnvFilter::try_new(format!("{QUIET},{wanted}")).unwrap_or_else(|_| EnvFilter::new(crate::config::agent::DEFAULT_LOG));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(super::terminal::colours(&stderr()));
    // A second subscriber in one process is a programming error that costs no more than its log lines.
    let _ = match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        // systemd's journal stamps the lines itself.
        LogFormat::Text if std::env::var_os("JOURNAL_STREAM").is_some() => builder.compact().without_time().try_init(),
        LogFormat::Text => builder.compact().try_init(),
    };
}
