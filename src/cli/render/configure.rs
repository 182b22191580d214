//! What `configure` has done, as text.

use super::text::clean;
use crate::{
    config::{agent::DEFAULT_FILE, agent_file::short},
    kernel::own_address::TakenFrom,
    model::{NodeName, Role, Roles},
};
use serde::Serialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// How the service stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::cli) enum ServiceOutcome {
    /// It was not running and is now.
    Started,
    /// It ran, and runs now with the new file.
    Restarted,
    /// It runs with the file as it was.
    Running,
    /// The unit is not installed.
    NotInstalled,
    /// systemd is not this machine's init.
    NoSystemd,
    /// The unit's agent reads another file.
    OtherFile,
    /// Nobody wanted it.
    LeftAlone,
}

/// What was taken from where, and what was done with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(in crate::cli) struct Configured {
    /// The file.
    pub(in crate::cli) config: PathBuf,
    /// The node's name.
    pub(in crate::cli) node: NodeName,
    /// Its roles.
    pub(in crate::cli) roles: Roles,
    /// Its address.
    pub(in crate::cli) address: SocketAddr,
    /// The interface that has the address; none: no interface has it now.
    pub(in crate::cli) interface: Option<String>,
    /// Where the address was taken from.
    pub(in crate::cli) taken_from: TakenFrom,
    /// The file was written; else it said all of that already, or nothing was to be changed.
    pub(in crate::cli) written: bool,
    /// Where the former file is kept.
    pub(in crate::cli) backup: Option<PathBuf>,
    /// How the service stands.
    pub(in crate::cli) service: ServiceOutcome,
    /// The cluster that the node is in already.
    pub(in crate::cli) member_of: Option<String>,
    /// What a person should know.
    pub(in crate::cli) warnings: Vec<String>,
}

/// What was taken, and from where.
pub(in crate::cli) fn configuration_taken(done: &Configured) -> String {
    let from = match (done.taken_from, &done.interface) {
        (TakenFrom::DefaultRoute, Some(interface)) => format!("of the default route on {interface}"),
        (TakenFrom::Interface, Some(interface)) => format!("the first one of {interface}"),
        (TakenFrom::OnlyAddress, Some(interface)) => format!("the only one of this machine, on {interface}"),
        (_, Some(interface)) => format!("as given, on {interface}"),
        (_, None) => "as given, on no interface now".to_owned(),
    };
    format!("node {}: {}\naddress {}, {}\n", done.node, done.roles, short(done.address), clean(&from))
}

/// The whole result.
pub(in crate::cli) fn configured(done: &Configured) -> String {
    let path = done.config.display();
    let file = match (&done.backup, done.written) {
        (Some(backup), true) => format!("wrote {path}; the former one is {}\n", backup.display()),
        (_, true) => format!("wrote {path}\n"),
        (_, false) => format!("{path} says all of that already\n"),
    };
    let is_default = done.config == Path::new(DEFAULT_FILE);
    let run = if is_default { "lvs-agent run".to_owned() } else { format!("lvs-agent --config {path} run") };
    let start = if is_default { "`systemctl enable lvs-agent && systemctl restart lvs-agent`" } else { "it reads another file" };
    let (service, runs) = match done.service {
        ServiceOutcome::Started => ("the service lvs-agent is enabled and was started\n".to_owned(), true),
        ServiceOutcome::Restarted => ("the service lvs-agent is enabled and was restarted\n".to_owned(), true),
        ServiceOutcome::Running => ("the service lvs-agent is enabled and runs\n".to_owned(), true),
        ServiceOutcome::NotInstalled => {
            (format!("the unit lvs-agent.service is not installed: run `{run}` under your own, or install the package\n"), false)
        }
        ServiceOutcome::NoSystemd => (format!("systemd does not run here: have your service manager run `{run}`\n"), false),
        ServiceOutcome::OtherFile => (format!("the service lvs-agent reads another file: run `{run}`\n"), false),
        ServiceOutcome::LeftAlone => (format!("the service lvs-agent was left alone: {start}\n"), false),
    };
    format!("{}{file}{service}{}", configuration_taken(done), next(done, runs))
}

/// What to run next on a node that is in no cluster.
fn next(done: &Configured, runs: bool) -> String {
    let when = if runs { "Next" } else { "Then, once the agent runs" };
    let join = "lvs-agent join SEED --token TOKEN";
    match (&done.member_of, done.roles.has(Role::Director)) {
        (Some(_), _) => String::new(),
        (None, true) => format!("\n{when}:\n  lvs-agent init    # makes a new cluster\n  {join}    # or joins one\n"),
        (None, false) => format!("\n{when}:\n  {join}\n"),
    }
}

/// Warnings, one a line.
pub(in crate::cli) fn warned(warnings: &[String]) -> String {
    warnings.iter().map(|warning| format!("warning: {}\n", clean(warning))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> Configured {
        Configured {
            config: DEFAULT_FILE.into(),
            node: "d1".parse().unwrap(),
            roles: Roles::new([Role::Director]).unwrap(),
            address: "10.0.0.11:7400".parse().unwrap(),
            interface: Some("eth0".to_owned()),
            taken_from: TakenFrom::DefaultRoute,
            written: true,
            backup: None,
            service: ServiceOutcome::Started,
            member_of: None,
            warnings: vec!["odd\u{1b}".to_owned()],
        }
    }

    #[test]
    fn what_was_taken_from_where_is_told_and_what_is_next() {
        assert_eq!(
            configured(&done()),
            "node d1: director\naddress 10.0.0.11, of the default route on eth0\nwrote /etc/lvs-agent/agent.toml\n\
             the service lvs-agent is enabled and was started\n\n\
             Next:\n  lvs-agent init    # makes a new cluster\n  lvs-agent join SEED --token TOKEN    # or joins one\n"
        );
        let again = Configured { written: false, member_of: Some("0123".to_owned()), service: ServiceOutcome::Running, ..done() };
        assert!(configured(&again).ends_with("agent.toml says all of that already\nthe service lvs-agent is enabled and runs\n"));
        let late = Configured {
            interface: None,
            taken_from: TakenFrom::Given,
            address: "10.0.0.11:7500".parse().unwrap(),
            roles: Roles::new([Role::Witness]).unwrap(),
            service: ServiceOutcome::NoSystemd,
            ..done()
        };
        let text = configured(&late);
        assert!(text.contains("address 10.0.0.11:7500, as given, on no interface now\n"), "{text}");
        assert!(
            text.ends_with("run `lvs-agent run`\n\nThen, once the agent runs:\n  lvs-agent join SEED --token TOKEN\n"),
            "{text}"
        );
        assert_eq!(warned(&done().warnings), "warning: odd?\n");
    }

    #[test]
    fn names_in_json_are_stable() {
        let json = serde_json::to_value(done()).unwrap();
        for (field, value) in
            [("taken_from", "default-route"), ("service", "started"), ("address", "10.0.0.11:7400"), ("interface", "eth0")]
        {
            assert_eq!(json[field], value);
        }
        assert_eq!(
            serde_json::to_value([ServiceOutcome::NotInstalled, ServiceOutcome::NoSystemd]).unwrap(),
            serde_json::json!(["not-installed", "no-systemd"])
        );
    }
}
