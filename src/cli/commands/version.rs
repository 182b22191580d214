//! `lvs-agent version`

use super::print_json;
use crate::{
    api::{Client, Version},
    cli::{CommandFailure, Exit, args::VersionArgs, terminal},
};

/// Does not fail without an agent: the version of this program is known without one.
pub(super) async fn run(client: &Client, args: &VersionArgs) -> Result<Exit, CommandFailure> {
    let this = Version::this().version;
    let agent = client.version().await;
    if args.json {
        print_json(&serde_json::json!({ "version": this, "agent": agent.ok().map(|agent| agent.version) }))?;
    } else {
        let running = match agent {
            Ok(agent) => format!("{} is running", agent.version),
            Err(error) => error.to_string(),
        };
        terminal::print(&format!("lvs-agent {this}\nagent: {running}\n"))?;
    }
    Ok(Exit::Ok)
}
