//! `lvs-agent restart`: the worker first, which moves no VIP, then the guard, which gives its VIPs away first; neither before the others can spare it.

mod decide;
mod service;

use super::print_json;
use crate::{
    api::{Client, ClientError, Status, Version},
    cli::{
        CommandFailure, Exit,
        args::RestartArgs,
        terminal::{self, Progress},
    },
};
use decide::{Spared, how_to_go_back, may_mix, not_back, spared, worker_first};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// How often the agent is asked.
const POLL: Duration = Duration::from_millis(250);
/// HTTP status of an agent that knows no such request.
const UNKNOWN: u16 = 404;

pub(super) async fn run(client: &Client, data_dir: &Path, args: &RestartArgs) -> Result<Exit, CommandFailure> {
    let (agent, before) = (client.version().await?, client.status().await?);
    let this = Version::this();
    let mut restart = Restart { client, args, agent, before, progress: Progress::begin(), steps: Vec::new(), replaced: false };
    let by_systemd = service::runs_the_guard(data_dir).await;
    if restart.before.cluster.is_some() {
        if !args.force {
            may_mix(&this, &restart.agent, &restart.before).map_err(|why| CommandFailure::new(Exit::Refused, why))?;
        }
        restart.wait_until_spared().await?;
        match worker_first(&this, &restart.agent) {
            Ok(()) => restart.replace_worker().await?,
            Err(why) => restart.progress.step(&format!("the worker is not replaced by itself: {why}")),
        }
    }
    match by_systemd {
        Ok(()) => {
            if restart.replaced {
                restart.wait_until_spared().await?;
            }
            restart.restart_guard().await?;
        }
        Err(why) if restart.replaced => restart.progress.step(&format!("the guard is not restarted: {why}")),
        Err(why) => {
            let line = format!(
                "nothing is restarted, because systemd does not run this agent ({why}): restart it with what has started it"
            );
            return Err(CommandFailure::new(Exit::Failed, line));
        }
    }
    restart.tell().await?;
    Ok(Exit::Ok)
}

/// A restart under way.
struct Restart<'a> {
    client: &'a Client,
    args: &'a RestartArgs,
    /// Who answered when it began,
    agent: Version,
    /// and what it said.
    before: Status,
    progress: Progress,
    /// What was done, and how long it took.
    steps: Vec<(&'static str, Duration)>,
    /// The worker is another one already.
    replaced: bool,
}

impl Restart<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.args.timeout.into())
    }

    fn done(&mut self, step: &'static str, begun: Instant) {
        self.steps.push((step, begun.elapsed()));
    }

    async fn wait_until_spared(&mut self) -> Result<(), CommandFailure> {
        let begun = Instant::now();
        while !self.args.force {
            let last = match self.client.status().await {
                Ok(status) => match spared(&status, begun.elapsed()) {
                    Spared::Yes => break,
                    Spared::NotYet(waits) => waits.join("; "),
                    Spared::Never(why) => {
                        let line = format!("{}: {why}; with --force it is restarted all the same", self.undone());
                        return Err(CommandFailure::new(Exit::Refused, line));
                    }
                },
                Err(error) if is_passing(&error) => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            if begun.elapsed() >= self.patience() {
                let line = format!(
                    "{}: after {} s this still waits for {last}; with --force it does not wait",
                    self.undone(),
                    self.args.timeout
                );
                return Err(CommandFailure::new(Exit::NoQuorum, line));
            }
            self.progress.step(&format!("waiting for {last}"));
            sleep(POLL).await;
        }
        self.done("the others can do without this node", begun);
        Ok(())
    }

    fn undone(&self) -> &'static str {
        if self.replaced { "the worker is replaced, the guard is not restarted" } else { "nothing is restarted" }
    }

    async fn replace_worker(&mut self) -> Result<(), CommandFailure> {
        let begun = Instant::now();
        self.progress.step("replacing the worker; the guard goes on holding its VIPs");
        match self.client.restart_worker().await {
            Ok(()) => {}
            Err(ClientError::Refused { code: UNKNOWN, .. }) => {
                self.progress.step("the agent is too old to replace its worker by itself");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.replaced = true;
        self.wait_until_back(begun)
            .await
            .map_err(|last| CommandFailure::new(Exit::Failed, how_to_go_back(&self.agent, &last, self.args.timeout)))?;
        self.done("worker replaced, and back", begun);
        let runs = self.client.version().await?.version;
        let this = Version::this().version;
        if runs != this {
            let line = format!(
                "the worker that was started is lvs-agent {runs}, this program is {this}: the agent's program is another file than this one, and its guard is not restarted"
            );
            return Err(CommandFailure::new(Exit::Failed, line));
        }
        Ok(())
    }

    async fn restart_guard(&mut self) -> Result<(), CommandFailure> {
        // The worker that is replaced together with the guard.
        let asked = self.client.version().await;
        self.agent.pid = asked.map_or(self.agent.pid, |now| now.pid);
        let begun = Instant::now();
        self.progress.step("restarting the service, which gives its VIPs away first");
        let failed = |why: String| {
            let line = format!("the agent is not back: {why}; see `systemctl status lvs-agent` and `journalctl -u lvs-agent`");
            CommandFailure::new(Exit::Failed, line)
        };
        service::restart().await.map_err(failed)?;
        self.wait_until_back(begun).await.map_err(|last| failed(format!("after {} s {last}", self.args.timeout)))?;
        self.done("guard and worker restarted, and back", begun);
        Ok(())
    }

    /// Waits until another worker answers and has what the one before it had.
    ///
    /// # Errors
    /// What was missing last.
    async fn wait_until_back(&mut self, begun: Instant) -> Result<(), String> {
        loop {
            let last = match self.looks_back(begun.elapsed()).await {
                Ok(None) => return Ok(()),
                Ok(Some(lacks)) => lacks,
                Err(error) => error.to_string(),
            };
            if begun.elapsed() >= self.patience() {
                return Err(last);
            }
            self.progress.step(&format!("waiting: {last}"));
            sleep(POLL).await;
        }
    }

    async fn looks_back(&self, waited: Duration) -> Result<Option<String>, ClientError> {
        let answers = self.client.version().await?;
        // An agent that does not tell its process was restarted by systemd, which has waited for it.
        if answers.pid.is_some() && answers.pid == self.agent.pid {
            return Ok(Some("the former worker answers still".to_owned()));
        }
        Ok(not_back(&self.before, &self.client.status().await?, waited))
    }

    async fn tell(&self) -> Result<(), CommandFailure> {
        let (now, status) = (self.client.version().await?.version, self.client.status().await?);
        let guard = status.guard_version.unwrap_or_else(|| "unknown".to_owned());
        let (node, former) = (&status.this, &self.agent.version);
        let all = self.steps.iter().any(|(step, _)| step.starts_with("guard"));
        if self.args.json {
            let steps = self.steps.iter().map(
                |(step, took)| serde_json::json!({ "step": step, "ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }),
            );
            return print_json(&serde_json::json!({
                "node": node, "former_version": former, "version": now, "guard_version": guard,
                "restarted": if all { "all" } else { "worker" }, "steps": steps.collect::<Vec<_>>(),
            }));
        }
        let mut text = if all {
            format!("{node} runs lvs-agent {now}, guard and worker; before it was {former}\n")
        } else {
            format!(
                "worker replaced, it runs lvs-agent {now}; the guard still runs version {guard}: restart it with what has started it\n"
            )
        };
        for (step, took) in &self.steps {
            text.push_str(&format!("  {:6.1} s  {step}\n", took.as_secs_f64()));
        }
        terminal::print(&text)
    }
}

/// An agent that is busy, or between two workers.
fn is_passing(error: &ClientError) -> bool {
    matches!(error, ClientError::NotReachable { .. } | ClientError::NoAnswer(_) | ClientError::Protocol(_))
}
