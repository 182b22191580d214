//! `lvs-agent withdraw`: by the agent where one runs, else by itself, from the records in the data directory.

use super::print_json;
use crate::{
    api::{Client, ClientError, WithdrawAnswer},
    base::errors::with_sources,
    cli::{
        CommandFailure, Exit,
        args::WithdrawArgs,
        terminal::{self, Progress},
    },
    guard::{self, DataDirLock, LockError},
    reconcile,
};
use std::{path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// A guard may be there without a worker for so long: it starts one after a pause of 5 s at the most.
const WORKER_COMES: Duration = Duration::from_secs(15);
/// How often the agent is asked meanwhile.
const POLL: Duration = Duration::from_millis(250);

/// HTTP status of an agent that knows no such request.
const UNKNOWN: u16 = 404;

pub(super) async fn run(client: &Client, data_dir: &Path, args: &WithdrawArgs) -> Result<Exit, CommandFailure> {
    let mut progress = Progress::begin();
    progress.step("taking this node out of service and putting back what the agent changed here");
    let deadline = Instant::now() + WORKER_COMES;
    let (agent, changes) = loop {
        match client.withdraw().await {
            Ok(answer) => break (Some(answer.clone()), answer.changes),
            Err(ClientError::NotReachable { .. }) => {}
            Err(ClientError::Refused { code: UNKNOWN, .. }) => return Err(older()),
            Err(error) => return Err(error.into()),
        }
        match without_agent(data_dir).await? {
            Here::Done(changes) => break (None, changes),
            Here::GuardRuns(guard) if Instant::now() >= deadline => return Err(no_worker(&guard)),
            Here::GuardRuns(_) => progress.step("a guard runs here, waiting for its worker"),
        }
        sleep(POLL).await;
    };
    if args.json {
        let (node, withdrawn) = (agent.as_ref().map(|agent| &agent.node), agent.as_ref().is_some_and(|agent| agent.withdrawn));
        let warnings = agent.as_ref().map(|agent| &agent.warnings[..]).unwrap_or_default();
        let running = agent.is_some();
        print_json(&serde_json::json!({
            "node": node, "withdrawn": withdrawn, "agent_runs": running, "changes": changes, "warnings": warnings,
        }))?;
    } else {
        terminal::print(&format!("{}\n", said(agent.as_ref(), changes)))?;
    }
    agent.iter().flat_map(|agent| &agent.warnings).for_each(|line| terminal::warn(&format!("warning: {line}\n")));
    Ok(Exit::Ok)
}

fn said(agent: Option<&WithdrawAnswer>, changes: usize) -> String {
    match (agent, changes) {
        (Some(WithdrawAnswer { node, withdrawn: true, .. }), _) => format!(
            "{node} is withdrawn, and its kernel is as it was before: it stays a member; `systemctl restart lvs-agent` (or a reboot) puts it back in service"
        ),
        (Some(_), 0) => "nothing to withdraw: this node is in no cluster".to_owned(),
        (Some(_), _) => "this node is in no cluster; what the agent had left in its kernel is put back".to_owned(),
        (None, 0) => "nothing to withdraw: no agent runs here, and nothing of one is left in the kernel".to_owned(),
        (None, _) => "no agent runs here; what it had left in the kernel is put back".to_owned(),
    }
}

/// What became of it without an agent.
enum Here {
    /// So many changes were made.
    Done(usize),
    /// A guard has the data directory.
    GuardRuns(LockError),
}

/// As the agent would, with its lock, so that none starts meanwhile.
async fn without_agent(data_dir: &Path) -> Result<Here, CommandFailure> {
    let failed = |error: &dyn std::error::Error| CommandFailure::new(Exit::Failed, with_sources(error));
    if !data_dir.is_dir() {
        return Ok(Here::Done(0));
    }
    let _lock = match DataDirLock::take(data_dir) {
        Ok(lock) => lock,
        Err(taken @ LockError::Taken { .. }) => return Ok(Here::GuardRuns(taken)),
        Err(error) => return Err(failed(&error)),
    };
    let swept = guard::sweep_left(data_dir).await.map_err(|error| failed(&error))?;
    let put_back = reconcile::put_back(data_dir).await.map_err(|error| failed(&error))?;
    Ok(Here::Done(swept + put_back))
}

fn no_worker(guard: &LockError) -> CommandFailure {
    let seconds = WORKER_COMES.as_secs();
    let line = format!(
        "a guard runs here and its worker does not answer within {seconds} s: `systemctl stop lvs-agent`, then run `lvs-agent withdraw` again ({guard})"
    );
    CommandFailure::new(Exit::NotReachable, line)
}

fn older() -> CommandFailure {
    let line = "the agent that runs is of an older version and cannot be withdrawn: `systemctl stop lvs-agent`, then run `lvs-agent withdraw` again";
    CommandFailure::new(Exit::Failed, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(test: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("lvs-agent-withdraw-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[tokio::test]
    async fn where_no_agent_has_ever_run_there_is_nothing_to_do_and_nothing_is_made() {
        let dir = dir("never").join("data");
        assert!(matches!(without_agent(&dir).await, Ok(Here::Done(0))));
        assert!(!dir.exists());
        std::fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn a_guard_that_runs_is_not_raced() {
        let dir = dir("raced");
        let _guard = DataDirLock::take(&dir).unwrap();
        let Ok(Here::GuardRuns(guard)) = without_agent(&dir).await else { panic!("raced") };
        let said = no_worker(&guard);
        assert!(said.exit == Exit::NotReachable && said.lines[0].contains(&std::process::id().to_string()), "{said:?}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_there_was_to_do_is_said() {
        let agent = |withdrawn| WithdrawAnswer { node: "r1".parse().unwrap(), withdrawn, changes: 0, warnings: Vec::new() };
        assert!(said(Some(&agent(true)), 4).starts_with("r1 is withdrawn"));
        for nothing in [said(Some(&agent(false)), 0), said(None, 0)] {
            assert!(nothing.starts_with("nothing to withdraw"), "{nothing}");
        }
        assert!(said(None, 3).starts_with("no agent runs here; what"));
    }
}
