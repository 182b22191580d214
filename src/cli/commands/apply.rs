//! `lvs-agent apply`

use super::{cluster_file, palette, print_json};
use crate::{
    api::{ApplyRequest, Client},
    cli::{Exit, Failure, args::ApplyArgs, render, terminal},
};

pub(super) async fn run(client: &Client, args: &ApplyArgs) -> Result<Exit, Failure> {
    let (file_name, text) = cluster_file(&args.file)?;
    let answer = client.apply(&ApplyRequest { file_name, text, base_revision: args.if_revision, prune: args.prune }).await?;
    if args.json {
        print_json(&answer)?;
    } else {
        terminal::print(&render::applied(&answer, palette()))?;
    }
    Ok(Exit::Ok)
}
