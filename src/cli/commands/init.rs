//! `lvs-agent init`

use super::print_json;
use crate::{
    api::{Client, InitRequest},
    cli::{CommandFailure, Exit, args::InitArgs, render, terminal},
};

pub(super) async fn run(client: &Client, args: &InitArgs) -> Result<Exit, CommandFailure> {
    let made = client.init(&InitRequest::default()).await?;
    if args.json {
        print_json(&made)?;
    } else {
        terminal::print(&render::founded(&made))?;
    }
    Ok(Exit::Ok)
}
