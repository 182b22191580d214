//! Entry point: arguments in, exit code out.

use clap::Parser;
use lvs_agent::{
    cli::{
        self, Args, Command, Exit,
        args::{LogArgs, WorkerArgs},
        exit::with_sources,
    },
    config::{AgentConfig, load_agent},
};
use std::{ffi::OsString, os::fd::RawFd, process::ExitCode};

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.command {
        Command::Run(log) => ended(&args, log, |config| {
            // The worker's end of the socketpair is always this descriptor in the child.
            start_guard(config, args.for_worker(log, WORKER_FD))
        }),
        Command::Worker(WorkerArgs { fd, log }) => ended(&args, log, |config| start_worker(config, *fd)),
        _ => cli::run(&args),
    }
}

/// Descriptor of the socketpair in the worker.
const WORKER_FD: RawFd = 3;

/// The guard process. `worker` are the arguments to start this same program with.
fn start_guard(_config: AgentConfig, _worker: Vec<OsString>) -> anyhow::Result<()> {
    anyhow::bail!("this build has no guard")
}

/// The worker process, which speaks with its guard over `fd`.
fn start_worker(_config: AgentConfig, _fd: RawFd) -> anyhow::Result<()> {
    anyhow::bail!("this build has no worker")
}

/// Loads the configuration, starts the log, runs one of the agent's two processes, and logs how it ended.
fn ended(args: &Args, log: &LogArgs, process: impl FnOnce(AgentConfig) -> anyhow::Result<()>) -> ExitCode {
    let mut config = match load_agent(&args.config_path()) {
        Ok(config) => config,
        Err(error) => return cli::fail(&error.into()),
    };
    if let Some(socket) = &args.socket {
        config.socket.clone_from(socket);
    }
    cli::log::start(log, &config.log);
    match process(config) {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            tracing::error!(error = with_sources(error.as_ref()), "agent ends");
            Exit::Failed.into()
        }
    }
}
