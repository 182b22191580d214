//! `lvs-agent keys rotate` and `lvs-agent ca rotate`: begin a rotation, then show its progress.

use super::{inside, print_json};
use crate::{
    api::{Client, ClientError, IdentityStatus, status::SecurityStatus},
    cli::{
        CommandFailure, Exit,
        args::RotateArgs,
        terminal::{self, Progress},
    },
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the agent is asked for the progress.
const POLL: Duration = Duration::from_millis(500);

/// What is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RotationSubject {
    /// The gossip key.
    Key,
    /// The CA.
    Authority,
}

pub(super) async fn run(client: &Client, what: RotationSubject, args: &RotateArgs) -> Result<Exit, CommandFailure> {
    let before = security(client).await?;
    let ending = if what == RotationSubject::Authority { client.identities().await.unwrap_or_default() } else { Vec::new() };
    match what {
        RotationSubject::Key => client.rotate_keys().await?,
        RotationSubject::Authority => client.rotate_authority().await?,
    }
    let after = if args.no_wait { None } else { Some(watch(client, what, &before, args).await?) };
    if args.json {
        print_json(&after.unwrap_or(security(client).await?))?;
        return Ok(Exit::Ok);
    }
    let name = what.name();
    match after {
        None => terminal::print(&format!("the {name} is being replaced: `lvs-agent status` shows how far it is\n"))?,
        Some(after) => terminal::print(&format!("the {name} is replaced: {} is in use\n", what.current(&after)))?,
    }
    remind(&ending)?;
    Ok(Exit::Ok)
}

async fn security(client: &Client) -> Result<SecurityStatus, CommandFailure> {
    let cluster = inside(client).await?.cluster;
    Ok(cluster.map(|cluster| cluster.security).expect("inside of a cluster there is one"))
}

/// Remote identities are of the former CA.
fn remind(ending: &[IdentityStatus]) -> Result<(), CommandFailure> {
    let names: Vec<String> = ending.iter().map(|known| known.name.to_string()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => terminal::print(&format!(
            "remote identities end with the former ca and need new certificates (`identity create`): {}\n",
            names.join(", ")
        )),
    }
}

async fn watch(
    client: &Client,
    what: RotationSubject,
    before: &SecurityStatus,
    args: &RotateArgs,
) -> Result<SecurityStatus, CommandFailure> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout.into());
    let mut progress = Progress::begin();
    loop {
        let last = match client.status().await {
            Ok(status) => {
                let now = status.cluster.map(|cluster| cluster.security).unwrap_or_default();
                match what.stage(before, &now) {
                    None => return Ok(now),
                    Some(stage) => stage,
                }
            }
            // The agent may be restarted meanwhile, or busy.
            Err(
                error @ (ClientError::NotReachable { .. } | ClientError::ServerNotReachable { .. } | ClientError::NoAnswer(_)),
            ) => error.to_string(),
            // A remote administrator's own certificate, and the CA that it knows, are what is being replaced.
            Err(error) => return Err(goes_on(what, &CommandFailure::from(error).lines.join("; "))),
        };
        progress.step(&last);
        if Instant::now() >= deadline {
            return Err(goes_on(what, &format!("not done within {} s: {last}", args.timeout)));
        }
        sleep(POLL).await;
    }
}

fn goes_on(what: RotationSubject, why: &str) -> CommandFailure {
    let line = format!("replacing the {} goes on by itself, see `lvs-agent status`; but {why}", what.name());
    CommandFailure::new(Exit::NoQuorum, line)
}

impl RotationSubject {
    fn name(self) -> &'static str {
        match self {
            RotationSubject::Key => "gossip key",
            RotationSubject::Authority => "ca",
        }
    }

    /// The one in use.
    fn current(self, security: &SecurityStatus) -> String {
        let current = match self {
            RotationSubject::Key => security.key.map(|key| key.to_string()),
            RotationSubject::Authority => security.authority.map(|ca| ca.to_string()),
        };
        current.unwrap_or_else(|| "none".to_owned())
    }

    /// The others that are still, or already, accepted.
    fn others(self, security: &SecurityStatus) -> Vec<String> {
        match self {
            RotationSubject::Key => security.other_keys.iter().map(ToString::to_string).collect(),
            RotationSubject::Authority => security.other_authorities.iter().map(ToString::to_string).collect(),
        }
    }

    /// The progress; `None` when the rotation is done.
    fn stage(self, before: &SecurityStatus, now: &SecurityStatus) -> Option<String> {
        let (former, current, others) = (self.current(before), self.current(now), self.others(now));
        let words = match (former == current, others.is_empty()) {
            (true, true) => format!("the new {} is on its way to this node", self.name()),
            (true, false) => format!("{} goes to all nodes", others.join(", ")),
            (false, false) => format!("{current} is in use, {} still counts", others.join(", ")),
            (false, true) => return None,
        };
        Some(now.rotating.as_ref().map_or(words.clone(), |rotating| format!("{words} ({rotating})")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyId;

    #[test]
    fn a_rotation_is_done_when_the_new_key_is_alone() {
        let ring = |key, others: &[u16]| SecurityStatus {
            key: Some(KeyId(key)),
            other_keys: others.iter().copied().map(KeyId).collect(),
            ..SecurityStatus::default()
        };
        let before = ring(1, &[]);
        let stage = |now| RotationSubject::Key.stage(&before, &now);
        assert_eq!(stage(ring(1, &[])).unwrap(), "the new gossip key is on its way to this node");
        assert_eq!(stage(ring(1, &[2])).unwrap(), "k2 goes to all nodes");
        assert_eq!(stage(ring(2, &[1])).unwrap(), "k2 is in use, k1 still counts");
        assert_eq!(stage(ring(2, &[])), None);
    }
}
