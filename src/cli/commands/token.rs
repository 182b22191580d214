//! `lvs-agent token`

use super::{palette, print_json, print_table};
use crate::{
    api::{Client, Status, TokenRequest},
    cli::{
        CommandFailure, Exit,
        args::{TokenCommand, TokenCreateArgs},
        render, terminal,
    },
    model::Role,
};
use std::net::SocketAddr;

/// How many members the printed line names: one that answers is enough.
const SEEDS: usize = 3;

pub(super) async fn run(client: &Client, command: &TokenCommand) -> Result<Exit, CommandFailure> {
    match command {
        TokenCommand::Create(args) => create(client, args).await?,
        TokenCommand::List(args) => {
            let tokens = client.tokens().await?;
            if args.json {
                print_json(&tokens)?;
            } else {
                print_table(&render::tokens(&tokens, palette()), "no join token is worth anything now")?;
            }
        }
        TokenCommand::Revoke(args) => {
            client.revoke_token(args.id).await?;
            if args.json {
                print_json(&serde_json::json!({ "revoked": args.id }))?;
            } else {
                terminal::print(&format!("token {} is revoked: nobody can join with it any more\n", args.id))?;
            }
        }
    }
    Ok(Exit::Ok)
}

async fn create(client: &Client, args: &TokenCreateArgs) -> Result<(), CommandFailure> {
    let TokenCreateArgs { ttl, uses, roles, json } = args;
    let made = client.make_token(&TokenRequest { ttl_s: ttl.as_secs(), uses: *uses, roles: roles.clone() }).await?;
    if *json {
        return print_json(&made);
    }
    // The token is made, and must be shown even if the agent cannot give the members now.
    let seeds = client.status().await.map(|status| seeds(&status)).unwrap_or_default();
    terminal::print(&render::token(&made, &seeds))
}

/// The seeds to print: the node that answers first, then other directors, then others.
fn seeds(status: &Status) -> Vec<SocketAddr> {
    let mut heard: Vec<_> = status.nodes.iter().filter(|node| node.reachable).collect();
    heard.sort_by_key(|node| (node.name != status.this, !node.roles.has(Role::Director)));
    heard.iter().take(SEEDS).map(|node| node.address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::sample;

    #[test]
    fn new_nodes_ask_the_node_that_made_the_token_then_directors() {
        let mut status = sample::status();
        status.this = "r1".parse().unwrap();
        let named: Vec<String> = seeds(&status).iter().map(ToString::to_string).collect();
        assert_eq!(named, ["10.0.0.21:7400", "10.0.0.11:7400", "10.0.0.12:7400"]);
    }
}
