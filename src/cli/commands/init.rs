//! `lvs-agent init`

use crate::{
    api::{Client, InitRequest},
    cli::{Exit, Failure, terminal},
};

pub(super) async fn run(client: &Client) -> Result<Exit, Failure> {
    let made = client.init(&InitRequest::default()).await?;
    let status = client.status().await?;
    let own = status.nodes.iter().find(|node| node.name == made.membership.node);
    let seed = own.map_or_else(|| "ADDRESS".to_owned(), |node| node.address.to_string());
    terminal::print(&format!(
        "cluster {} is made; {} is its first member\nnext, on every other node: lvs-agent join {seed}\n",
        made.membership.cluster_id, made.membership.node
    ))?;
    Ok(Exit::Ok)
}
