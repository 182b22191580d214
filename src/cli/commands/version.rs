//! `lvs-agent version`

use super::print_json;
use crate::{
    api::{Client, Formats, Version},
    cli::{CommandFailure, Exit, args::VersionArgs, terminal},
};

/// Does not fail without an agent, nor where it cannot be known which agent to ask: the version of this program is known without one.
pub(super) async fn run(client: Result<Client, CommandFailure>, args: &VersionArgs) -> Result<Exit, CommandFailure> {
    let this = Version::this();
    let agent = match client {
        Ok(client) => client.version().await.map_err(|error| error.to_string()),
        Err(failure) => Err(failure.lines.join("\n  ")),
    };
    if args.json {
        let agent = agent.ok();
        print_json(&serde_json::json!({
            "version": this.version,
            "formats": this.formats,
            "agent": agent.as_ref().map(|agent| &agent.version),
            "agent_formats": agent.as_ref().and_then(|agent| agent.formats.as_ref()),
        }))?;
    } else {
        let running = match agent {
            Ok(agent) => format!("{} is running{}", agent.version, apart(agent.formats.as_ref())),
            Err(why) => why,
        };
        terminal::print(&format!("lvs-agent {}\nagent: {running}\n", this.version))?;
    }
    Ok(Exit::Ok)
}

/// Which of an agent's formats are not this program's.
fn apart(agent: Option<&Formats>) -> String {
    match agent.map(|agent| Formats::this().apart(agent)) {
        Some(apart) if !apart.is_empty() => format!(", which differs in {}", apart.join(", ")),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_tells_no_formats_is_understood_and_differences_are_named() {
        let former: Version = serde_json::from_str("{\"version\":\"0.0.9\"}").unwrap();
        assert_eq!((former.version.as_str(), former.formats), ("0.0.9", None));
        assert_eq!(apart(None), "");
        assert_eq!(apart(Some(&Formats::this())), "");
        let other = Formats { snapshot: 0, ..Formats::this() };
        assert!(apart(Some(&other)).starts_with(", which differs in snapshots ("), "{}", apart(Some(&other)));
    }
}
