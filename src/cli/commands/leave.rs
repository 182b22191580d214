//! `lvs-agent leave`

use super::{inside, print_json};
use crate::{
    api::{Client, ClientError, LeaveRequest, UNCONFIRMED},
    cli::{
        CommandFailure, Exit,
        args::LeaveArgs,
        terminal::{self, Progress},
    },
};

pub(super) async fn run(client: &Client, args: &LeaveArgs) -> Result<Exit, CommandFailure> {
    let LeaveArgs { force, yes, json } = *args;
    let before = inside(client).await?;
    let (node, id) = (&before.this, before.cluster.map(|cluster| cluster.id));
    let mut progress = Progress::begin();
    progress.step(if force {
        "putting back what the agent changed here, without asking anybody"
    } else {
        "handing over and putting back what the agent changed here"
    });
    match client.leave(&LeaveRequest { force, confirmed: yes }).await {
        // The agent knows what is lost: it has checked the voters and the heard nodes, and would let the node go.
        Err(ClientError::Refused { code: UNCONFIRMED, body }) => {
            let lost = body.error;
            let otherwise = format!("{lost}; say --yes if {node} shall leave all the same");
            if !terminal::confirm(&format!("{lost}. Leave all the same?"), &otherwise)? {
                return Err(CommandFailure::new(Exit::Failed, format!("{node} stays in its cluster")));
            }
            client.leave(&LeaveRequest { force, confirmed: true }).await?;
        }
        answer => answer?,
    }
    if json {
        print_json(&serde_json::json!({ "node": node, "cluster_id": id, "others_told": !force }))?;
    } else if force {
        let id = id.unwrap_or_default();
        terminal::print(&format!(
            "this machine is in no cluster any more; nobody was told: where cluster {id} goes on, it counts {node} as a member until `lvs-agent node remove {node}` is run on a director, or {node} joins again with a token\n"
        ))?;
    } else {
        terminal::print("this node has left its cluster\n")?;
    }
    Ok(Exit::Ok)
}
