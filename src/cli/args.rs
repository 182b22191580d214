//! Arguments, environment and help.

use crate::config::value::node_address;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage, or a file or value that is not valid
  3   the agent on this node cannot be reached
  4   no quorum, no seed answered, or no result in time
  5   refused: the cluster, or this node's standing in it, forbids it
  10  plan --exit-code: there are changes

Files:
  /etc/lvs-agent/agent.toml   this node's configuration
  /var/lib/lvs-agent          its state
  /run/lvs-agent/agent.sock   where the agent listens for these commands (root only)

First steps:
  lvs-agent run                   on every node, as a service
  lvs-agent init                  on one node
  lvs-agent join 10.0.0.11        on the others, with the address of any member
  lvs-agent apply cluster.toml    on any node
  lvs-agent status                on any node";

const INIT_HELP: &str = "\
Makes a new cluster with this node as its first member. Run it once, on one node, then `lvs-agent join` on all others. The timing profile of the cluster is the \
one in this node's agent.toml.

Example:
  lvs-agent init";

const JOIN_HELP: &str = "\
Makes this node a member of a running cluster and waits until it has the cluster's rules. Any member will do as a seed; with several, one that answers is enough. \
Without a seed, those in agent.toml are asked.

A member that lost its disk joins again in the same way, under its old name.

Examples:
  lvs-agent join 10.0.0.11
  lvs-agent join 10.0.0.11 10.0.0.12:7401
  lvs-agent join --timeout 300";

const LEAVE_HELP: &str = "\
Takes this node out of its cluster for good: a director hands its VIPs over, a real server takes its VIPs off `lo` and gets its former sysctls back. To stop the agent \
for a while, stop its service instead.

Example:
  lvs-agent leave";

const STATUS_HELP: &str = "\
Shows the cluster as this node knows it: members, VIP holders, services, servers, and how each observer voted. It works on any node, with or without a quorum.

A server is `in` when it gets new connections. `suspect` is an observer whose last probe failed; `(stale)` marks the vote of an observer that is not heard, which does not \
count.

The JSON field names are stable: fields are added, never renamed.

Examples:
  lvs-agent status
  lvs-agent status --watch
  lvs-agent status --watch 0.5
  lvs-agent status --json | jq -r '.vips[] | .name + \" \" + .holder'";

const PLAN_HELP: &str = "\
Shows what `lvs-agent apply FILE` would change, and changes nothing. All errors of the file are shown at once.

Examples:
  lvs-agent plan cluster.toml
  lvs-agent plan --exit-code cluster.toml || echo 'not what the cluster has'
  lvs-agent plan --offline cluster.toml      # checks the file only; needs no agent";

const APPLY_HELP: &str = "\
Makes a cluster file the rules of the whole cluster, in one step: all of it or, if anything is wrong, none of it. What the file no longer mentions is removed. Applying the same file again \
changes nothing.

Examples:
  lvs-agent apply cluster.toml
  lvs-agent export | sed 's/weight = 1$/weight = 2/' | lvs-agent apply -
  lvs-agent apply --if-revision 7 cluster.toml   # only if nobody applied in between";

const EXPORT_HELP: &str = "\
Writes the cluster's rules as a cluster file. Applying it changes nothing.

Examples:
  lvs-agent export > cluster.toml
  lvs-agent export --output cluster.toml";

const RUN_HELP: &str = "\
Runs the agent in the foreground, as a service manager wants it. Needs root. It listens on `address` of agent.toml (and its guard on the next port), and on the admin socket.

Minimal agent.toml:
  roles = [\"director\"]
  address = \"10.0.0.11\"

Examples:
  lvs-agent run
  LVS_AGENT_LOG=debug lvs-agent run
  lvs-agent run --log-format json";

/// One agent for every node of a Linux Virtual Server cluster.
///
/// Runs on directors (they hold the VIPs and forward with IPVS) and real servers (they answer the requests) alike. The commands below, other than `run`, talk to
/// the agent on this node.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "lvs-agent", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Args {
    /// This node's configuration [default: /etc/lvs-agent/agent.toml].
    #[arg(long, global = true, env = "LVS_AGENT_CONFIG", hide_env_values = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The agent's socket [default: `socket` in the configuration].
    #[arg(long, global = true, env = "LVS_AGENT_SOCKET", hide_env_values = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Command {
    /// Run the agent on this node, in the foreground.
    #[command(after_help = RUN_HELP)]
    Run(LogArgs),
    /// The guard's child process.
    #[command(hide = true)]
    Worker(LogArgs),
    /// Make a new cluster with this node as its first member.
    #[command(after_help = INIT_HELP)]
    Init,
    /// Join a running cluster.
    #[command(after_help = JOIN_HELP)]
    Join(JoinArgs),
    /// Leave the cluster for good.
    #[command(after_help = LEAVE_HELP)]
    Leave,
    /// Show the cluster: nodes, VIPs, services, servers, votes.
    #[command(after_help = STATUS_HELP)]
    Status(StatusArgs),
    /// Show what a cluster file would change.
    #[command(after_help = PLAN_HELP)]
    Plan(PlanArgs),
    /// Make a cluster file the cluster's rules.
    #[command(after_help = APPLY_HELP)]
    Apply(ApplyArgs),
    /// Write the cluster's rules as a cluster file.
    #[command(after_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Show this program's version and the running agent's.
    Version(VersionArgs),
}

/// Form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// For people and the journal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug, Default, ClapArgs)]
pub struct LogArgs {
    /// What to log, instead of `log` in the configuration: a level, or module=level, separated by commas.
    #[arg(long, env = "LVS_AGENT_LOG", hide_env_values = true, value_name = "FILTER", value_parser = crate::config::agent::log_filter)]
    pub log: Option<String>,
    /// Form of the log's lines.
    #[arg(long, env = "LVS_AGENT_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
}

impl Args {
    /// Where this node's configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| crate::config::agent::DEFAULT_FILE.into())
    }

    /// The arguments with which a guard that was started with `log` starts its worker.
    pub fn for_worker(&self, log: &LogArgs) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["worker".into()];
        words.extend(["--config".into(), self.config_path().into_os_string()]);
        if let Some(socket) = &self.socket {
            words.extend(["--socket".into(), socket.clone().into_os_string()]);
        }
        if let Some(filter) = &log.log {
            words.extend(["--log".into(), filter.into()]);
        }
        if log.log_format == LogFormat::Json {
            words.extend(["--log-format".into(), "json".into()]);
        }
        words
    }
}

/// Arguments of `join`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct JoinArgs {
    /// Addresses of members: 10.0.0.11 or 10.0.0.11:7400.
    #[arg(value_name = "SEED", value_parser = node_address)]
    pub seeds: Vec<SocketAddr>,
    /// Give up waiting for the rules after so many seconds; the node goes on by itself.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
}

/// Arguments of `status`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct StatusArgs {
    /// One JSON object on one line.
    #[arg(long)]
    pub json: bool,
    /// Again and again, every 2 seconds or as given, until interrupted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
}

/// Arguments of `plan`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct PlanArgs {
    /// The cluster file; `-` for stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object: the revision compared with, and the changes.
    #[arg(long, conflicts_with = "offline")]
    pub json: bool,
    /// Exit with 10 when there are changes.
    #[arg(long, conflicts_with = "offline")]
    pub exit_code: bool,
    /// Only check the file, without asking the agent.
    #[arg(long)]
    pub offline: bool,
}

/// Arguments of `apply`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct ApplyArgs {
    /// The cluster file; `-` for stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object: the new revision, and what changed.
    #[arg(long)]
    pub json: bool,
    /// Refuse if the cluster's rules are not at this revision (`plan` shows it).
    #[arg(long, value_name = "N")]
    pub if_revision: Option<u64>,
}

/// Arguments of `export`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct ExportArgs {
    /// Write to this file instead of stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `version`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct VersionArgs {
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "use a number of seconds from 0.1 to 3600".to_owned())
}

#[cfg(test)]
mod tests;
