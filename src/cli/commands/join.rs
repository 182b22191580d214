//! `lvs-agent join`: asks to join, then waits until this node has the cluster's rules.

use super::print_json;
use crate::{
    api::{Client, ClientError, JoinAnswer, JoinOrder, Status},
    cli::{
        CommandFailure, Exit,
        args::JoinArgs,
        terminal::{self, Progress},
    },
    config::io::read_text,
    link::token::{BadToken, JoinToken},
};
use std::{fs::File, io::stdin, path::Path, time::Duration};
use tokio::time::{Instant, interval, sleep};
use zeroize::Zeroizing;

/// How often the agent is asked for its progress.
const POLL: Duration = Duration::from_millis(250);

/// Longest token file. A token has about 70 letters.
const MAX_TOKEN_FILE_BYTES: u64 = 4096;

pub(super) async fn run(client: &Client, args: &JoinArgs) -> Result<Exit, CommandFailure> {
    let request = JoinOrder { seeds: args.seeds.clone(), token: token(args)? };
    let mut progress = Progress::begin();
    let seeds: Vec<String> = args.seeds.iter().map(ToString::to_string).collect();
    let whom = if seeds.is_empty() { "the seeds of agent.toml".to_owned() } else { seeds.join(", ") };
    progress.step(&format!("asking {whom}"));
    let joined = ask(client, &request, &mut progress).await?;
    progress.step(&format!("taken into cluster {} as {}", joined.cluster_id, joined.node));
    let revision = wait_for_rules(client, Duration::from_secs(args.timeout.into()), &mut progress).await?;
    let JoinAnswer { cluster_id, node } = joined;
    if args.json {
        print_json(&serde_json::json!({ "cluster_id": cluster_id, "node": node, "revision": revision }))?;
    } else {
        terminal::print(&format!("{node} is a member of cluster {cluster_id} and has its rules, revision {revision}\n"))?;
    }
    Ok(Exit::Ok)
}

/// The join token, if one was given. A text that is no token is refused here, without asking a seed.
fn token(args: &JoinArgs) -> Result<Option<Zeroizing<String>>, CommandFailure> {
    let invalid = |line: String| CommandFailure::new(Exit::Invalid, line);
    let text = match (&args.token_file, &args.token) {
        (None, None) => return Ok(None),
        (None, Some(token)) => Zeroizing::new(token.0.clone()),
        (Some(path), _) => {
            let read = if path == Path::new("-") {
                read_text(stdin().lock(), MAX_TOKEN_FILE_BYTES)
            } else {
                File::open(path).and_then(|file| read_text(file, MAX_TOKEN_FILE_BYTES))
            };
            Zeroizing::new(read.map_err(|error| invalid(format!("cannot read the token in {}: {error}", path.display())))?)
        }
    };
    let token: JoinToken = text.trim().parse().map_err(|error: BadToken| invalid(error.to_string()))?;
    Ok(Some(token.text()))
}

async fn ask(client: &Client, request: &JoinOrder, progress: &mut Progress) -> Result<JoinAnswer, ClientError> {
    let answer = client.join(request);
    tokio::pin!(answer);
    let mut reminder = interval(Duration::from_secs(5));
    reminder.tick().await;
    loop {
        // Cancel-safe: the answer is pinned outside, and a tick carries nothing.
        tokio::select! {
            answer = &mut answer => return answer,
            _ = reminder.tick() => progress.again("still asking"),
        }
    }
}

async fn wait_for_rules(client: &Client, patience: Duration, progress: &mut Progress) -> Result<u64, CommandFailure> {
    let deadline = Instant::now() + patience;
    loop {
        let stage = JoinProgress::of(&client.status().await?);
        match &stage {
            JoinProgress::Done { revision } => return Ok(*revision),
            waiting => progress.step(&waiting.to_string()),
        }
        if Instant::now() >= deadline {
            let line = format!(
                "the node is taken in, but after {} s: {stage}; it goes on by itself, see `lvs-agent status`",
                patience.as_secs()
            );
            return Err(CommandFailure::new(Exit::NoQuorum, line));
        }
        sleep(POLL).await;
    }
}

/// The progress of a joining node.
#[derive(Clone, PartialEq, Eq, Debug)]
enum JoinProgress {
    /// Its own log has no entry of the cluster yet.
    WaitingForLog,
    /// It has the cluster's state, but not the entry that admits it.
    WaitingForOwnEntry,
    /// It has the rules but has not put them in place yet.
    WaitingForRules { have: u64, want: u64 },
    /// It has everything.
    Done { revision: u64 },
}

impl JoinProgress {
    fn of(status: &Status) -> Self {
        let Some(cluster) = &status.cluster else { return JoinProgress::WaitingForLog };
        match status.nodes.iter().find(|node| node.name == status.this) {
            None => JoinProgress::WaitingForOwnEntry,
            Some(node) if node.revision < cluster.revision => {
                JoinProgress::WaitingForRules { have: node.revision, want: cluster.revision }
            }
            Some(_) => JoinProgress::Done { revision: cluster.revision },
        }
    }
}

impl std::fmt::Display for JoinProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JoinProgress::WaitingForLog => f.write_str("waiting for the cluster's log"),
            JoinProgress::WaitingForOwnEntry => f.write_str("waiting for the cluster's list of members"),
            JoinProgress::WaitingForRules { have, want } => write!(f, "putting the rules in place (revision {have} of {want})"),
            JoinProgress::Done { revision } => write!(f, "done at revision {revision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::sample;

    #[test]
    fn a_join_is_done_when_the_node_knows_itself_and_has_the_rules() {
        let mut status = sample::status();
        assert_eq!(JoinProgress::of(&status), JoinProgress::Done { revision: 7 });
        status.nodes[0].revision = 5;
        assert_eq!(JoinProgress::of(&status), JoinProgress::WaitingForRules { have: 5, want: 7 });
        status.nodes.remove(0);
        assert_eq!(JoinProgress::of(&status), JoinProgress::WaitingForOwnEntry);
        status.cluster = None;
        assert_eq!(JoinProgress::of(&status), JoinProgress::WaitingForLog);
    }
}
