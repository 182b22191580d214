//! The service lvs-agent under systemd: enabled, started or restarted, and waited for until its agent answers.

use super::super::systemctl::{self, UNIT, property};
use crate::{
    api::{Client, ClientError},
    base::errors::with_sources,
    cli::{CommandFailure, Exit, render::ServiceOutcome, terminal::Progress},
};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// Is there where systemd is the machine's init (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// systemctl waits for the unit to be ready: 15 s to stop and 30 s to start at most, as the unit says.
const SYSTEMCTL_LIMIT: Duration = Duration::from_secs(60);
/// The worker, which answers, is there a moment after the guard, which is the service.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A node that cannot start may be just about to.
const START_LIMIT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(100);

/// Enables the service and has it run; restarts it if it runs and its file has changed. Returns why its node has not started, if it has not.
///
/// `unit_reads_it`: the file is the one that the unit's agent reads.
pub(super) async fn take_up(
    client: &Client,
    unit_reads_it: bool,
    changed: bool,
    progress: &mut Progress,
) -> Result<(ServiceOutcome, Option<String>), CommandFailure> {
    if !is_systemds() {
        return Ok((ServiceOutcome::NoSystemd, None));
    }
    let unit = Unit::look().await?;
    match unit.load.as_str() {
        "not-found" => return Ok((ServiceOutcome::NotInstalled, None)),
        "loaded" if !unit_reads_it => return Ok((ServiceOutcome::OtherFile, None)),
        "loaded" => {}
        "masked" => return Err(failed(format!("{UNIT} is masked: `systemctl unmask {UNIT}`, and run this again"))),
        state => return Err(with_status(format!("systemd cannot use {UNIT} ({state})")).await),
    }
    done(&["enable", UNIT]).await?;
    let outcome = match (unit.runs(), changed || unit.active != "active") {
        (false, _) => ServiceOutcome::Started,
        (true, true) => ServiceOutcome::Restarted,
        (true, false) => ServiceOutcome::Running,
    };
    match outcome {
        ServiceOutcome::Started => {
            progress.step("starting lvs-agent");
            done(&["start", UNIT]).await?;
        }
        ServiceOutcome::Restarted => {
            progress.step("restarting lvs-agent: it gives its VIPs to other directors first");
            done(&["restart", UNIT]).await?;
        }
        _ => {}
    }
    progress.step("waiting until the agent answers");
    Ok((outcome, answered(client).await?))
}

/// Whether systemd is this machine's init.
pub(super) fn is_systemds() -> bool {
    Path::new(BOOTED).is_dir()
}

/// What systemd knows of the unit.
struct Unit {
    load: String,
    active: String,
}

impl Unit {
    async fn look() -> Result<Self, CommandFailure> {
        let said = done(&["show", UNIT, "--property=LoadState,ActiveState"]).await?;
        let value = |name: &str| property(&said, name).unwrap_or_default().to_owned();
        Ok(Self { load: value("LoadState"), active: value("ActiveState") })
    }

    /// Whether it runs, or is about to.
    fn runs(&self) -> bool {
        ["active", "activating", "reloading", "deactivating"].contains(&self.active.as_str())
    }
}

/// Waits until the agent answers; returns why its node has not started, if that lasts.
async fn answered(client: &Client) -> Result<Option<String>, CommandFailure> {
    let begun = Instant::now();
    loop {
        let waited = begun.elapsed();
        match client.status().await {
            Ok(status) if status.not_started.is_none() || waited >= START_LIMIT => return Ok(status.not_started),
            Ok(_) => {}
            Err(error @ (ClientError::NotReachable { .. } | ClientError::NoAnswer(_))) if waited >= ANSWER_LIMIT => {
                let line = format!("the service runs, but its agent has not answered within {} s", ANSWER_LIMIT.as_secs());
                let mut failure = with_status(format!("{line}: {}", with_sources(&error))).await;
                failure.exit = Exit::NotReachable;
                return Err(failure);
            }
            Err(ClientError::NotReachable { .. } | ClientError::NoAnswer(_)) => {}
            Err(error) => return Err(error.into()),
        }
        sleep(POLL).await;
    }
}

/// Runs systemctl to its end, which has to be a good one, and returns what it said.
async fn done(words: &[&str]) -> Result<String, CommandFailure> {
    match systemctl::done(words, SYSTEMCTL_LIMIT).await {
        Ok(said) => Ok(said),
        Err(why) => Err(with_status(why).await),
    }
}

fn failed(line: String) -> CommandFailure {
    CommandFailure::new(Exit::Failed, line)
}

/// A failure with what `systemctl status` says, which has the last lines of the log, too.
async fn with_status(line: String) -> CommandFailure {
    let mut failure = failed(line);
    if let Ok(output) = systemctl::run(&["status", UNIT, "--full", "--lines=10"], SYSTEMCTL_LIMIT).await {
        failure.lines.extend(String::from_utf8_lossy(&output.stdout).lines().map(|line| format!("  {line}")));
    }
    failure.lines.push(format!("`journalctl -u {UNIT} -n 50` says more"));
    failure
}
