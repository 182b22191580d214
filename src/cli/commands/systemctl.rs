//! systemctl, which starts and stops the service lvs-agent: one call, its deadline, its words.

use crate::base::errors::with_sources;
use std::{
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// The agent's unit.
pub(super) const UNIT: &str = "lvs-agent.service";

/// Runs systemctl to its end, which has to be a good one, and returns what it said.
///
/// # Errors
/// Why it could not be run, that it has not ended within `limit`, or the first line of what it complained of.
pub(super) async fn done(words: &[&str], limit: Duration) -> Result<String, String> {
    let output = run(words, limit).await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().next().unwrap_or("it does not say why").trim_end_matches('.').to_owned();
    Err(format!("`systemctl {}` failed: {said}", words.join(" ")))
}

/// Runs systemctl to its end, good or not.
///
/// # Errors
/// Why it could not be run, or that it has not ended within `limit`.
pub(super) async fn run(words: &[&str], limit: Duration) -> Result<Output, String> {
    let line = format!("`systemctl {}`", words.join(" "));
    let mut command = Command::new("systemctl");
    command.args(["--no-pager", "--no-ask-password"]).args(words).kill_on_drop(true).stdin(Stdio::null());
    match timeout(limit, command.output()).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(format!("{line} cannot be run: {}", with_sources(&error))),
        Err(_) => Err(format!(
            "{line} has not ended within {} s: see `systemctl status {UNIT}` and `systemctl list-jobs`",
            limit.as_secs()
        )),
    }
}

/// The value of a property in what `systemctl show` printed.
pub(super) fn property<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}
