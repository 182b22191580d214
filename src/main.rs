//! Entry point: arguments in, exit code out.

use anyhow::Context;
use clap::Parser;
use lvs_agent::{
    agent::{self, AgentError},
    base::errors::with_sources,
    base::io::privilege::{AGENT, give_up},
    cli::{self, Args, CliCommand, CommandFailure, Exit, args::LogArgs},
    config::{AgentConfig, LoadError, load_agent},
    guard::{self, GuardOptions, RunnerCommand, WorkerCommand, io::notify::ServiceManager, report::Word},
    health::io::script_runner,
    model::node::guard_addr,
};
use std::{ffi::OsString, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.command {
        CliCommand::Run(log) => ended(&args, log, |config| start_guard(config, |process| args.for_child(process, log))),
        CliCommand::Worker(log) => ended(&args, log, |config| start_worker(config, &args)),
        CliCommand::ScriptRunner(log) => ended(&args, log, |config| Ok(script_runner::run(config.scripts.as_ref())?)),
        _ => cli::run(&args),
    }
}

/// The guard process. `arguments` are those to start this same program with as another of the agent's processes.
fn start_guard(config: AgentConfig, arguments: impl Fn(&str) -> Vec<OsString>) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let listen = guard_addr(config.address);
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot make the data directory {}", config.data_dir.display()))?;
    let runner = RunnerCommand { program: program.clone(), args: arguments("script-runner") };
    let worker = WorkerCommand { program, args: arguments("worker"), runner: None };
    let runner = config.scripts.map(|_| runner);
    Ok(guard::run(GuardOptions { listen, data_dir: config.data_dir, worker, runner })?)
}

/// The worker process.
fn start_worker(config: AgentConfig, args: &Args) -> anyhow::Result<()> {
    // Before there are threads: each has rights of its own.
    give_up(&AGENT, &[])?;
    // One thread: a worker mostly waits, and two would wake each other for every datagram. What waits for the disk has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (path, socket) = (args.config_path(), args.socket.clone());
    let reread: agent::Reread = Box::new(move || with_socket(load_agent(&path), socket.as_deref()).ok());
    Ok(runtime.context("cannot start the runtime")?.block_on(agent::run(config, reread))?)
}

/// `--socket` counts where it is given.
fn with_socket(loaded: Result<AgentConfig, LoadError>, socket: Option<&Path>) -> Result<AgentConfig, LoadError> {
    let mut config = loaded?;
    if let Some(socket) = socket {
        config.socket = socket.to_owned();
    }
    Ok(config)
}

/// Has `systemctl status` say why the agent does not run. The unit does not start it again for this: a file becomes right by a person only.
fn tell_service_manager(failure: &CommandFailure) {
    let lines: Vec<&str> = failure.lines.iter().take(2).map(String::as_str).collect();
    ServiceManager::from_environment().tell(&[Word::Status(lines.join(": "))]);
}

/// Loads the configuration, starts the log, runs one of the agent's processes, and logs how it ended.
fn ended(args: &Args, log: &LogArgs, process: impl FnOnce(AgentConfig) -> anyhow::Result<()>) -> ExitCode {
    let config = match with_socket(load_agent(&args.config_path()), args.socket.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            let failure = error.into();
            tell_service_manager(&failure);
            return cli::fail(&failure);
        }
    };
    cli::log::start(log, &config.log);
    match process(config) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            tracing::error!(error = with_sources(error.as_ref()), "agent ends");
            match error.downcast_ref() {
                Some(AgentError::OtherBuild(_)) => ExitCode::from(guard::OtherBuild::EXIT),
                Some(_) | None => Exit::Failed.into(),
            }
        }
    }
}
