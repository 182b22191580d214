//! `lvs-agent plan`

use super::{cluster_file, palette, print_json};
use crate::{
    api::{Client, PlanRequest},
    cli::{CommandFailure, Exit, args::PlanArgs, render, terminal},
    config::cluster,
};

pub(super) async fn run(client: &Client, args: &PlanArgs) -> Result<Exit, CommandFailure> {
    let (file_name, text) = cluster_file(&args.file)?;
    let plan = client.plan(&PlanRequest { file_name, text, prune: args.prune }).await?;
    if args.json {
        print_json(&plan)?;
    } else {
        terminal::print(&render::plan(&plan, palette()))?;
        terminal::warn(&render::warnings(&plan.warnings));
    }
    if args.strict && !plan.warnings.is_empty() {
        let count = plan.warnings.len();
        let line = format!("refused because of --strict: {count} warning{}", if count == 1 { "" } else { "s" });
        return Err(CommandFailure::new(Exit::Refused, line));
    }
    Ok(if args.exit_code && !plan.changes.is_empty() { Exit::Changes } else { Exit::Ok })
}

/// Checks the file without an agent.
pub(super) fn offline(args: &PlanArgs) -> Result<Exit, CommandFailure> {
    let (file_name, text) = cluster_file(&args.file)?;
    let rules = cluster::parse_to_apply(&file_name, &text, args.prune)?;
    let parts = [
        counted(rules.vips.len(), "VIP group"),
        counted(rules.services.len(), "service"),
        counted(rules.targets().count(), "server"),
    ];
    terminal::print(&format!("{file_name} is valid: {}\n", parts.join(", ")))?;
    Ok(Exit::Ok)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
