//! The commands that talk to an agent.

mod apply;
mod configure;
mod export;
mod identity;
mod init;
mod join;
mod leave;
mod node;
mod plan;
mod remote;
mod restart;
mod rotate;
mod status;
mod systemctl;
mod token;
mod version;
mod withdraw;

use super::{
    Args, CliCommand, CommandFailure, Exit,
    args::{CaCommand, KeysCommand},
    fail,
    render::Palette,
    terminal,
};
use crate::{
    api::{AdminError, Client, Status},
    base::errors::with_sources,
    config::{
        LoadError,
        agent::{DEFAULT_DATA_DIR, DEFAULT_SOCKET},
        cluster::MAX_FILE_BYTES,
        io::read_text,
        load_agent,
    },
};
use std::{
    fs::File,
    io::{self, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs a command to its end and gives its exit code or failure.
pub fn run(args: &Args) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandFailure::new(Exit::Failed, format!("cannot start: {error}")))
        .and_then(|runtime| runtime.block_on(dispatch(args)));
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => fail(&failure),
    }
}

async fn dispatch(args: &Args) -> Result<Exit, CommandFailure> {
    match &args.command {
        CliCommand::Run(_) | CliCommand::Worker(_) | CliCommand::ScriptRunner(_) => {
            Err(CommandFailure::new(Exit::Failed, "this is not a command for a running agent"))
        }
        CliCommand::Plan(plan) if plan.offline => plan::offline(plan),
        CliCommand::Configure(how) => configure::run(args, how).await,
        CliCommand::Init(init) => init::run(&here(args, "init")?, init).await,
        CliCommand::Join(join) => join::run(&here(args, "join")?, join).await,
        CliCommand::Leave(leave) => leave::run(&here(args, "leave")?, leave).await,
        CliCommand::Withdraw(withdraw) => {
            let (client, data_dir) = whatever_agent_toml_says(args, "withdraw")?;
            withdraw::run(&client, &data_dir, withdraw).await
        }
        CliCommand::Restart(restart) => {
            let (client, data_dir) = whatever_agent_toml_says(args, "restart")?;
            restart::run(&client, &data_dir, restart).await
        }
        CliCommand::Status(status) => status::run(&client(args)?, status).await,
        CliCommand::Plan(plan) => plan::run(&client(args)?, plan).await,
        CliCommand::Apply(apply) => apply::run(&client(args)?, apply).await,
        CliCommand::Export(export) => export::run(&client(args)?, export).await,
        CliCommand::Node(command) => node::run(&client(args)?, command).await,
        CliCommand::Token(command) => token::run(&client(args)?, command).await,
        CliCommand::Identity(command) => identity::run(&client(args)?, command).await,
        CliCommand::Keys(KeysCommand::Rotate(how)) => rotate::run(&client(args)?, rotate::RotationSubject::Key, how).await,
        CliCommand::Ca(CaCommand::Rotate(how)) => rotate::run(&client(args)?, rotate::RotationSubject::Authority, how).await,
        CliCommand::Version(version) => version::run(client(args), version).await,
    }
}

/// The agent that is asked: this node's, or the one at `--server`.
fn client(args: &Args) -> Result<Client, CommandFailure> {
    match &args.remote.server {
        Some(server) => Ok(Client::remote(remote::server(server, &args.remote)?)),
        None => Ok(Client::new(socket(args)?)),
    }
}

/// This node's agent, for commands that are about the node itself.
fn here(args: &Args, command: &str) -> Result<Client, CommandFailure> {
    only_here(args, command)?;
    Ok(Client::new(socket(args)?))
}

fn only_here(args: &Args, command: &str) -> Result<(), CommandFailure> {
    if args.remote.server.is_none() {
        return Ok(());
    }
    let line = format!("`{command}` works only on the node itself: run it there, without --server and LVS_AGENT_SERVER");
    Err(CommandFailure::new(Exit::Invalid, line))
}

/// The agent's socket: as given, else as configured, else the default where there is no configuration to be seen.
fn socket(args: &Args) -> Result<PathBuf, CommandFailure> {
    if let Some(socket) = &args.socket {
        return Ok(socket.clone());
    }
    match load_agent(&args.config_path()) {
        Ok(config) => Ok(config.socket),
        Err(LoadError::Missing { .. } | LoadError::Read { .. }) if args.config.is_none() => Ok(DEFAULT_SOCKET.into()),
        Err(error) => Err(error.into()),
    }
}

/// This node's agent and its data directory, for commands of the package's: an agent.toml that cannot be used must not keep them from the default
/// places, and that is said.
fn whatever_agent_toml_says(args: &Args, command: &str) -> Result<(Client, PathBuf), CommandFailure> {
    let (socket, data_dir) = match load_agent(&args.config_path()) {
        Ok(config) => (config.socket, config.data_dir),
        Err(LoadError::Read { .. }) if args.config.is_none() => (DEFAULT_SOCKET.into(), DEFAULT_DATA_DIR.into()),
        Err(error) if args.config.is_none() => {
            let lines = CommandFailure::from(error).lines.join("\n  ");
            terminal::warn(&format!("warning: {lines}\nwarning: looking at {DEFAULT_SOCKET} and in {DEFAULT_DATA_DIR}\n"));
            (DEFAULT_SOCKET.into(), DEFAULT_DATA_DIR.into())
        }
        Err(error) => return Err(error.into()),
    };
    let given = Args { socket: Some(args.socket.clone().unwrap_or(socket)), ..args.clone() };
    Ok((here(&given, command)?, data_dir))
}

/// The status of an agent whose member runs; other agents have nothing to show or to change.
async fn inside(client: &Client) -> Result<Status, CommandFailure> {
    let status = client.status().await?;
    match (&status.cluster, &status.not_started) {
        (Some(_), _) => Ok(status),
        (None, Some(why)) => Err(CommandFailure::new(Exit::NotStarted, AdminError::NotStarted(why.clone()).to_string())),
        (None, None) => Err(CommandFailure::new(Exit::Refused, AdminError::NotInCluster.to_string())),
    }
}

/// A cluster file's name in messages, and its text. `-` is stdin.
fn cluster_file(path: &Path) -> Result<(String, String), CommandFailure> {
    let limit = MAX_FILE_BYTES as u64;
    let (name, read) = if path == Path::new("-") {
        ("<stdin>".to_owned(), read_text(io::stdin().lock(), limit))
    } else {
        (path.display().to_string(), File::open(path).and_then(|file| read_text(file, limit)))
    };
    match read {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(CommandFailure::new(Exit::Invalid, format!("cannot read {name}: {}", with_sources(&error)))),
    }
}

/// A result as one JSON object on one line.
fn print_json(value: &impl serde::Serialize) -> Result<(), CommandFailure> {
    let text = serde_json::to_string(value).map_err(|error| CommandFailure::new(Exit::Failed, error.to_string()))?;
    terminal::print(&format!("{text}\n"))
}

/// A table, if there is anything to show.
fn print_table(text: &str, nothing: &str) -> Result<(), CommandFailure> {
    if text.is_empty() { terminal::print(&format!("{nothing}\n")) } else { terminal::print(text) }
}

/// Colours where stdout shows them.
fn palette() -> Palette {
    Palette { colours: terminal::colours(&stdout()) }
}

#[cfg(test)]
mod tests;
