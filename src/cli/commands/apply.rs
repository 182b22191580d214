//! `lvs-agent apply`

use super::{cluster_file, palette, print_json};
use crate::{
    api::{ApplyRequest, Client},
    cli::{CommandFailure, Exit, args::ApplyArgs, render, terminal},
};

pub(super) async fn run(client: &Client, args: &ApplyArgs) -> Result<Exit, CommandFailure> {
    let (file_name, text) = cluster_file(&args.file)?;
    let ApplyArgs { if_revision, prune, strict, .. } = *args;
    let answer = client.apply(&ApplyRequest { file_name, text, base_revision: if_revision, prune, strict }).await?;
    if args.json {
        print_json(&answer)?;
    } else {
        terminal::print(&render::applied(&answer, palette()))?;
        terminal::warn(&render::warnings(&answer.warnings));
    }
    Ok(Exit::Ok)
}
