//! What `configure` writes is read as it was meant, and its files, the package's and people's are told apart.

use super::*;
use crate::{
    config::{LoadError, agent, io::parse_agent},
    model::Role,
};
use std::path::Path;

fn file() -> AgentFile {
    AgentFile {
        roles: Roles::new([Role::RealServer, Role::Director]).unwrap(),
        address: "10.0.0.11:7400".parse().unwrap(),
        node: None,
        seeds: Vec::new(),
        interface: None,
        zone: None,
        timing: None,
    }
}

fn full() -> AgentFile {
    AgentFile {
        address: "10.0.0.11:7500".parse().unwrap(),
        node: Some("edge-1".parse().unwrap()),
        seeds: vec!["10.0.0.12:7400".parse().unwrap(), "10.0.0.13:7500".parse().unwrap()],
        interface: Some("e\"th\\0".to_owned()),
        zone: Some("rack-1".parse().unwrap()),
        timing: Some(TimingProfile::Wan),
        ..file()
    }
}

fn parse(text: &str) -> AgentConfig {
    AgentConfig::parse("agent.toml", text, "d1").unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn a_written_file_means_what_was_asked_for_and_is_known_again() {
    for file in [file(), full()] {
        let text = file.text();
        assert!(file.is_said_by(&parse(&text)), "{text}");
        assert_eq!(FileOrigin::of(&text), FileOrigin::Configure, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    }
    assert!(
        file().text().contains("\naddress = \"10.0.0.11\"\n")
            && file().text().contains("\nroles = [\"director\", \"real-server\"]\n")
    );
    assert!(!file().is_said_by(&parse(&full().text())), "another address");
    let longer = AgentFile { zone: Some("rack-1".parse().unwrap()), ..file() };
    assert!(file().is_said_by(&parse(&longer.text())) && !longer.is_said_by(&parse(&file().text())));
}

#[test]
fn any_edit_makes_a_file_a_persons() {
    let text = full().text();
    let edits = [
        text.replace("10.0.0.11", "10.0.0.12"),
        text.replace("#zone", "zone").replace("rack-1", "rack-2"),
        format!("{text}[api]\nlisten = \"10.0.0.11:7443\"\n"),
        format!("# mine\n{text}"),
        format!("{text}\n# mine\n"),
        text.lines().filter(|line| !line.starts_with(CHECKSUM)).map(|line| format!("{line}\n")).collect(),
        "roles = [\"director\"]\n".to_owned(),
        "this is no TOML".to_owned(),
    ];
    for edit in edits {
        assert_eq!(FileOrigin::of(&edit), FileOrigin::Edited, "{edit}");
    }
    assert_eq!(FileOrigin::of(""), FileOrigin::SetsNothing);
}

/// The template with every key set.
fn uncommented() -> String {
    let set =
        |line: &str| line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line).to_owned();
    TEMPLATE.lines().map(|line| set(line) + "\n").collect()
}

#[test]
fn the_packages_file_is_politely_refused_as_it_is() {
    assert_eq!(FileOrigin::of(TEMPLATE), FileOrigin::SetsNothing);
    let refused = parse_agent(Path::new(agent::DEFAULT_FILE), TEMPLATE).unwrap_err();
    assert!(matches!(refused, LoadError::SaysNothing { .. }));
    assert_eq!(
        refused.to_string(),
        "/etc/lvs-agent/agent.toml does not say yet what this node is: run `lvs-agent configure --roles director`, or edit it (roles, address)"
    );
    let elsewhere = parse_agent(Path::new("/x.toml"), "log = \"info\"\n").unwrap_err();
    assert!(elsewhere.to_string().contains("run `lvs-agent --config /x.toml configure --roles director`"), "{elsewhere}");
    for wrong in ["role = [\"director\"]\n", "log = \"loud\"\n", "roles = [\"director\"]\n", "[tls]\n", "="] {
        assert!(matches!(parse_agent(Path::new("/x.toml"), wrong), Err(LoadError::Invalid(_))), "{wrong}");
    }
}

#[test]
fn the_packages_file_has_every_key_with_its_default() {
    let config = parse(&uncommented());
    assert_eq!(config.data_dir, Path::new(agent::DEFAULT_DATA_DIR));
    assert_eq!(config.socket, Path::new(agent::DEFAULT_SOCKET));
    assert_eq!((config.log.as_str(), config.timing, config.seeds.len()), (agent::DEFAULT_LOG, TimingProfile::default(), 0));
    assert_eq!(config.scripts.unwrap().directory, Path::new(agent::DEFAULT_SCRIPTS));
    assert!(config.tls.is_some() && config.api_listen.is_some() && config.zone.is_some() && config.interface.is_some());
    // The rows of the table in the documentation are what there is.
    let documented = include_str!("../../../docs/configuration.md");
    let (_, table) = documented.split_once("## agent.toml").unwrap();
    let rows = table.split("\n```").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named: Vec<&str> = rows
        .flat_map(|cell| cell.split('`'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
        .collect();
    assert!(named.len() > 15, "{named:?}");
    let text = uncommented();
    for key in named {
        assert!(text.lines().any(|line| line == key || line.starts_with(&format!("{key} = "))), "the template lacks {key}");
    }
}
