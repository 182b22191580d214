//! `lvs-agent leave`

use super::print_json;
use crate::{
    api::{Client, LeaveRequest},
    cli::{
        Exit, Failure,
        args::LeaveArgs,
        terminal::{self, Progress},
    },
};

pub(super) async fn run(client: &Client, args: &LeaveArgs) -> Result<Exit, Failure> {
    let LeaveArgs { force, json } = *args;
    let before = client.status().await?;
    let (node, id) = (&before.this, before.cluster.map(|cluster| cluster.id));
    let mut progress = Progress::begin();
    progress.step(if force {
        "putting back what the agent changed here, without asking anybody"
    } else {
        "handing over and putting back what the agent changed here"
    });
    client.leave(&LeaveRequest { force }).await?;
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
