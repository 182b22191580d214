//! `lvs-agent export`

use crate::{
    api::Client,
    cli::{Exit, Failure, args::ExportArgs, terminal},
};

pub(super) async fn run(client: &Client, args: &ExportArgs) -> Result<Exit, Failure> {
    let text = client.export().await?;
    match &args.output {
        None => terminal::print(&text)?,
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display())))?,
    }
    Ok(Exit::Ok)
}
