//! `lvs-agent export`

use crate::{
    api::Client,
    cli::{CommandFailure, Exit, args::ExportArgs, terminal},
};

pub(super) async fn run(client: &Client, args: &ExportArgs) -> Result<Exit, CommandFailure> {
    let text = client.export().await?;
    match &args.output {
        None => terminal::print(&text)?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| CommandFailure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?,
    }
    Ok(Exit::Ok)
}
