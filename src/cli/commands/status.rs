//! `lvs-agent status`

use super::{palette, print_json};
use crate::{
    api::Client,
    cli::{CommandFailure, Exit, args::StatusArgs, render, terminal},
};
use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};
use tokio::time::sleep;

/// Cursor home, then erase to the end of each line and below as the text replaces what was there: no flicker.
const HOME: &str = "\x1b[H";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<Exit, CommandFailure> {
    match args.watch {
        None => once(client, args.json).await,
        Some(every) if args.json => follow_json(client, every).await,
        Some(every) => follow(client, every).await,
    }
}

async fn once(client: &Client, json: bool) -> Result<Exit, CommandFailure> {
    let status = client.status().await?;
    if json {
        print_json(&status)?;
    } else {
        terminal::print(&render::status(&status, palette()))?;
    }
    Ok(Exit::Ok)
}

async fn follow_json(client: &Client, every: Duration) -> Result<Exit, CommandFailure> {
    loop {
        print_json(&client.status().await?)?;
        sleep(every).await;
    }
}

/// Continues when the agent does not answer for a while, so that a restart can be watched.
async fn follow(client: &Client, every: Duration) -> Result<Exit, CommandFailure> {
    let in_place = stdout().is_terminal();
    if in_place {
        terminal::print("\x1b[2J")?;
    }
    loop {
        let text = match client.status().await {
            Ok(status) => render::status(&status, palette()),
            Err(error) => format!("{}\n", CommandFailure::from(error).lines.join("\n")),
        };
        if in_place {
            let lines = text.replace('\n', &format!("{ERASE_LINE}\n"));
            terminal::print(&format!("{HOME}{lines}{ERASE_BELOW}"))?;
        } else {
            terminal::print(&format!("{text}\n"))?;
        }
        sleep(every).await;
    }
}
