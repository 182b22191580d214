//! `lvs-agent node`

use super::{inside, palette, print_json, print_table};
use crate::{
    api::Client,
    cli::{CommandFailure, Exit, args::NodeCommand, render, terminal},
};

pub(super) async fn run(client: &Client, command: &NodeCommand) -> Result<Exit, CommandFailure> {
    match command {
        NodeCommand::List(args) => {
            let status = inside(client).await?;
            if args.json {
                print_json(&status.nodes)?;
            } else {
                print_table(&render::nodes(&status, palette()), "the cluster's log is not here yet: nobody is known")?;
                terminal::print(&render::barred(&status))?;
            }
        }
        NodeCommand::Remove(args) => {
            let name = &args.name;
            let status = inside(client).await?;
            let foreign = status.cluster.is_some_and(|cluster| cluster.security.authority.is_none());
            let is_member = status.nodes.iter().any(|node| node.name == *name);
            // A mistyped name is reported before the question to confirm.
            if !is_member && !foreign {
                return Err(CommandFailure::new(
                    Exit::Refused,
                    format!("no node is called {name}: `lvs-agent node list` shows them"),
                ));
            }
            let back = if foreign { format!("`lvs-agent node allow {name}`") } else { "a join token".to_owned() };
            let question = format!("take {name} out of the cluster for good? It needs {back} to come back.");
            if !args.yes && !terminal::confirm(&question, "say --yes if the node shall go")? {
                return Err(CommandFailure::new(Exit::Failed, format!("{name} stays")));
            }
            client.remove_node(name).await?;
            if args.json {
                print_json(&serde_json::json!({ "removed": name }))?;
            } else {
                let bar = format!("its certificate lets it in no more until `lvs-agent node allow {name}`\n");
                let bar = if foreign { bar } else { String::new() };
                if !is_member {
                    terminal::print(&format!("{name} was no member: {bar}"))?;
                    return Ok(Exit::Ok);
                }
                terminal::print(&format!(
                    "{name} is removed: its certificate is worth nothing from now on, and the cluster replaces the keys that it knows\n\
                     if it still runs, `lvs-agent leave` there puts back what the agent changed on it\n{bar}"
                ))?;
            }
        }
        NodeCommand::Allow(args) => {
            let name = &args.name;
            client.allow_node(name).await?;
            if args.json {
                print_json(&serde_json::json!({ "allowed": name }))?;
            } else {
                terminal::print(&format!("{name} may come back: run `lvs-agent join SEED` on it\n"))?;
            }
        }
        NodeCommand::RenameRoles(args) => {
            let (name, roles) = (&args.name, &args.roles);
            client.set_roles(name, roles).await?;
            if args.json {
                print_json(&serde_json::json!({ "name": name, "roles": roles }))?;
            } else {
                terminal::print(&format!("{name} is {roles} from now on; write the same into its agent.toml\n"))?;
            }
        }
    }
    Ok(Exit::Ok)
}
