//! `lvs-agent leave`

use crate::{
    api::Client,
    cli::{
        Exit, Failure,
        terminal::{self, Progress},
    },
};

pub(super) async fn run(client: &Client) -> Result<Exit, Failure> {
    let mut progress = Progress::begin();
    progress.step("handing over and putting back what the agent changed here");
    client.leave().await?;
    terminal::print("this node has left its cluster\n")?;
    Ok(Exit::Ok)
}
