//! `lvs-agent leave`

use crate::{
    api::{Client, LeaveRequest},
    cli::{
        Exit, Failure,
        args::LeaveArgs,
        terminal::{self, Progress},
    },
};

pub(super) async fn run(client: &Client, args: &LeaveArgs) -> Result<Exit, Failure> {
    let LeaveArgs { force } = *args;
    let mut progress = Progress::begin();
    if !force {
        progress.step("handing over and putting back what the agent changed here");
        client.leave(&LeaveRequest { force }).await?;
        terminal::print("this node has left its cluster\n")?;
        return Ok(Exit::Ok);
    }
    let status = client.status().await?;
    progress.step("putting back what the agent changed here, without asking anybody");
    client.leave(&LeaveRequest { force }).await?;
    let (node, id) = (&status.this, status.cluster.map(|cluster| cluster.id).unwrap_or_default());
    terminal::print(&format!(
        "this machine is in no cluster any more; nobody was told: where cluster {id} goes on, it counts {node} as a member until `lvs-agent node remove {node}` is run on a director, or {node} joins again with a token\n"
    ))?;
    Ok(Exit::Ok)
}
