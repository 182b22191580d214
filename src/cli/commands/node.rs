//! `lvs-agent node`

use super::{palette, print_json, print_table};
use crate::{
    api::Client,
    cli::{Exit, Failure, args::NodeCommand, render, terminal},
};

pub(super) async fn run(client: &Client, command: &NodeCommand) -> Result<Exit, Failure> {
    match command {
        NodeCommand::List(args) => {
            let status = client.status().await?;
            if args.json {
                print_json(&status.nodes)?;
            } else {
                print_table(&render::nodes(&status, palette()), "this node is in no cluster")?;
            }
        }
        NodeCommand::Remove(args) => {
            let name = &args.name;
            // Whoever mistypes a name is told before being asked to confirm it.
            if client.status().await.is_ok_and(|status| status.nodes.iter().all(|node| node.name != *name)) {
                return Err(Failure::new(Exit::Refused, format!("no node is called {name}: `lvs-agent node list` shows them")));
            }
            let question = format!("take {name} out of the cluster for good? It needs a join token to come back.");
            if !args.yes && !terminal::confirm(&question, "say --yes if the node shall go")? {
                return Err(Failure::new(Exit::Failed, format!("{name} stays")));
            }
            client.remove_node(name).await?;
            if args.json {
                print_json(&serde_json::json!({ "removed": name }))?;
            } else {
                terminal::print(&format!(
                    "{name} is removed: its certificate is worth nothing from now on, and the cluster replaces the keys that it knows\n\
                     if it still runs, `lvs-agent leave` there puts back what the agent changed on it\n"
                ))?;
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
