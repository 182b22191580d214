//! `lvs-agent configure`: writes this node's agent.toml and has its service run with it.

mod file;
mod module;
mod service;

use super::{only_here, print_json};
use crate::{
    api::Client,
    base::errors::with_sources,
    cli::{
        Args, CommandFailure, Exit,
        args::ConfigureArgs,
        render::{self, Configured, ServiceOutcome},
        terminal::{self, Progress},
    },
    config::{
        AgentConfig,
        agent::{DEFAULT_DATA_DIR, DEFAULT_FILE},
        agent_file::{AgentFile, short},
        parse_agent,
        value::DEFAULT_PORT,
    },
    kernel::{
        io::{address::Addresses, own_address::listed_name},
        own_address::{ChosenAddress, NoAddress, WantedAddress, choose},
    },
    members::NodeIdentity,
    model::Role,
};
use file::FormerFile;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

pub(super) async fn run(args: &Args, how: &ConfigureArgs) -> Result<Exit, CommandFailure> {
    only_here(args, "configure")?;
    let path = args.config_path();
    let chosen = address(how).await?;
    let wanted = wanted(how, &chosen);
    let text = wanted.text();
    // What is written is what the agent will read.
    let config = parse_agent(&path, &text)?;
    let former = FormerFile::read(&path)?;
    let change = former.change(&path, &wanted, how.force)?;
    let config = if change.is_none() { former.config.clone().unwrap_or(config) } else { config };

    let mut warnings = chosen.warnings;
    let member_of = member(how, &config, former.config.as_ref(), &mut warnings)?;
    if let Some(lost) = change.as_ref().and_then(|change| former.lost(&text, change)) {
        warnings.push(lost);
    }
    let mut done = Configured {
        config: path.clone(),
        node: config.node.clone(),
        roles: config.roles.clone(),
        address: config.address,
        interface: chosen.interface.clone(),
        taken_from: chosen.taken_from,
        written: change.is_some() && !how.dry_run,
        backup: change.as_ref().and_then(|change| change.backup.clone()).filter(|_| !how.dry_run),
        service: ServiceOutcome::LeftAlone,
        member_of,
        warnings,
    };
    if how.dry_run {
        return dry(how, &done, &text, change.is_some());
    }
    if let Some(change) = &change {
        former.replace(&path, &text, change)?;
    }
    let mut why = None;
    if !how.no_service {
        let client = Client::new(args.socket.clone().unwrap_or(config.socket));
        let unit_reads_it = path == Path::new(DEFAULT_FILE);
        if unit_reads_it && how.roles.has(Role::Director) && service::is_systemds() {
            done.warnings.extend(module::load());
        }
        match service::take_up(&client, unit_reads_it, done.written, &mut Progress::begin()).await {
            Ok((outcome, not_started)) => (done.service, why) = (outcome, not_started),
            Err(mut failure) => {
                if done.written {
                    failure.lines.push(format!("{} is written; run `configure` again once that is mended", path.display()));
                }
                return Err(failure);
            }
        }
    }
    if let (Some(why), None) = (&why, &chosen.interface) {
        done.warnings.push(format!("the agent runs and waits: {why}"));
        return told(how, &done);
    }
    told(how, &done)?;
    match why {
        Some(why) => Err(CommandFailure::new(Exit::NotStarted, format!("the agent runs, but its node cannot start: {why}"))),
        None => Ok(Exit::Ok),
    }
}

/// What this node's address shall be, as the kernel has it now.
async fn address(how: &ConfigureArgs) -> Result<ChosenAddress, CommandFailure> {
    let unread = |error| CommandFailure::new(Exit::Failed, with_sources(&error));
    let network = Addresses::open().map_err(unread)?.host_network().await.map_err(unread)?;
    let asked = how.address.map(|address| address.ip());
    let wanted = WantedAddress {
        address: asked.and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
        interface: how.interface.as_ref().map(|name| listed_name(name).unwrap_or_else(|| name.clone())),
        interface_of_vips: how.roles.has(Role::Director),
    };
    choose(&network, &wanted).map_err(|none| no_address(how, none))
}

/// Says why there is no address, and which command lines there are instead.
fn no_address(how: &ConfigureArgs, none: NoAddress) -> CommandFailure {
    let roles = how.roles.to_string().replace(", ", ",");
    let mut lines = vec![none.why];
    if none.candidates.is_empty() {
        lines.push(format!("say which it will have: lvs-agent configure --roles {roles} --address ADDRESS"));
    } else {
        lines.push("say which it shall be:".to_owned());
        let line = |address, interface| format!("  lvs-agent configure --roles {roles} --address {address}   # on {interface}");
        lines.extend(none.candidates.iter().map(|found| line(found.address, &found.interface)));
    }
    CommandFailure { exit: Exit::Invalid, lines }
}

fn wanted(how: &ConfigureArgs, chosen: &ChosenAddress) -> AgentFile {
    let port = how.address.map_or(DEFAULT_PORT, |address| address.port());
    AgentFile {
        roles: how.roles.clone(),
        address: SocketAddr::new(chosen.address.into(), port),
        node: how.node.clone(),
        seeds: how.seeds.clone(),
        // Elsewhere the key means nothing: it says where a director has its VIPs.
        interface: how.interface.clone().filter(|_| how.roles.has(Role::Director)),
        zone: how.zone.clone(),
        timing: how.timing,
    }
}

/// The cluster that this node is in already, if it is in one, and what that means for what changes.
fn member(
    how: &ConfigureArgs,
    config: &AgentConfig,
    former: Option<&AgentConfig>,
    warnings: &mut Vec<String>,
) -> Result<Option<String>, CommandFailure> {
    let data_dir = former.map_or_else(|| PathBuf::from(DEFAULT_DATA_DIR), |former| former.data_dir.clone());
    let identity = NodeIdentity::load(&data_dir).map_err(|error| {
        CommandFailure::new(Exit::Failed, format!("cannot see whether this node is in a cluster: {}", with_sources(&error)))
    })?;
    let Some(identity) = identity else { return Ok(None) };
    let (name, id) = (&identity.name, &identity.cluster_id);
    if *name != config.node {
        let line = format!(
            "this node is {name} in its cluster {id} and cannot be {} there: say --node {name}, or run `lvs-agent leave` first",
            config.node
        );
        if !how.force {
            return Err(CommandFailure::new(Exit::Refused, line));
        }
        warnings.push(line);
    }
    if former.is_none_or(|former| former.roles != config.roles) {
        let roles = config.roles.to_string().replace(", ", ",");
        warnings.push(format!(
            "{name} is a member of cluster {id}, and its roles are those that the cluster has granted: `lvs-agent node rename-roles {name} --roles {roles}` on a director makes them these"
        ));
    }
    if let Some(former) = former.filter(|former| former.address != config.address) {
        let (before, now) = (short(former.address), short(config.address));
        warnings.push(format!("{name} tells its cluster {id} at its start that it has moved from {before} to {now}"));
    }
    Ok(Some(identity.cluster_id))
}

/// Shows what would be done: the file on stdout, the words beside it on stderr.
fn dry(how: &ConfigureArgs, done: &Configured, text: &str, would_write: bool) -> Result<Exit, CommandFailure> {
    if how.json {
        return told(how, done);
    }
    let path = done.config.display();
    let end = if would_write { format!("would write {path}:\n") } else { format!("{path} says all of that already:\n") };
    terminal::warn(&format!("{}{end}", render::configuration_taken(done)));
    terminal::warn(&render::warned(&done.warnings));
    terminal::print(text)?;
    Ok(Exit::Ok)
}

fn told(how: &ConfigureArgs, done: &Configured) -> Result<Exit, CommandFailure> {
    if how.json {
        print_json(done)?;
    } else {
        terminal::print(&render::configured(done))?;
        terminal::warn(&render::warned(&done.warnings));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests;
