//! Arguments, environment and help.

mod configure;
mod help;
mod security;

pub use configure::ConfigureArgs;
pub use security::{
    CaCommand, IdentityCommand, IdentityCreateArgs, KeysCommand, NodeCommand, RotateArgs, TokenCommand, TokenCreateArgs,
};

use crate::{base::build::VERSION, config::value::node_address};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use help::{
    APPLY_HELP, CA_HELP, CONFIGURE_HELP, EXIT_CODES, EXPORT_HELP, IDENTITY_HELP, INIT_HELP, JOIN_HELP, KEYS_HELP, LEAVE_HELP,
    NODE_HELP, PLAN_HELP, RESTART_HELP, RUN_HELP, STATUS_HELP, TOKEN_HELP, VERSION_HELP, WITHDRAW_HELP,
};
use std::{ffi::OsString, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// What all commands have in common stands under this in their help, after their own options.
const WHICH_AGENT: &str = "Which agent";

/// One agent for every node of a Linux Virtual Server cluster.
///
/// Runs on directors (they hold the VIPs and forward with IPVS) and real servers (they answer the requests) alike. The commands below, other than `run` and `configure`, talk to
/// the agent on this node, or with --server to another one.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "lvs-agent", version = VERSION, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Args {
    /// This node's configuration [default: /etc/lvs-agent/agent.toml].
    #[arg(long, global = true, env = "LVS_AGENT_CONFIG", hide_env_values = true, value_name = "PATH", help_heading = WHICH_AGENT)]
    pub config: Option<PathBuf>,
    /// The agent's socket [default: `socket` in the configuration].
    #[arg(long, global = true, env = "LVS_AGENT_SOCKET", hide_env_values = true, value_name = "PATH", help_heading = WHICH_AGENT)]
    pub socket: Option<PathBuf>,
    /// Another agent, and what to reach it with.
    #[command(flatten)]
    pub remote: RemoteArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// A remote agent, and what to reach it with.
#[derive(Clone, PartialEq, Eq, Debug, Default, ClapArgs)]
#[command(next_help_heading = WHICH_AGENT)]
pub struct RemoteArgs {
    /// Ask this agent instead of the one on this node: where its `[api] listen` is, an address or a name with the port.
    #[arg(long, global = true, env = "LVS_AGENT_SERVER", hide_env_values = true, value_name = "HOST:PORT", value_parser = server)]
    pub server: Option<String>,
    /// Our certificate (PEM), as `identity create` wrote it, with key and CA in it.
    #[arg(long, global = true, env = "LVS_AGENT_CERT", hide_env_values = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM), where that is a file of its own.
    #[arg(long, global = true, env = "LVS_AGENT_KEY", hide_env_values = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The CA that the agent's certificate must be of (PEM), where that is a file of its own.
    #[arg(long, global = true, env = "LVS_AGENT_CA", hide_env_values = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum CliCommand {
    /// Run the agent on this node, in the foreground.
    #[command(after_help = RUN_HELP)]
    Run(LogArgs),
    /// The guard's child process.
    #[command(hide = true)]
    Worker(LogArgs),
    /// The guard's other child, where agent.toml has `[scripts]`.
    #[command(hide = true)]
    ScriptRunner(LogArgs),
    /// Write this node's agent.toml and start its service.
    #[command(after_help = CONFIGURE_HELP)]
    Configure(ConfigureArgs),
    /// Make a new cluster with this node as its first member.
    #[command(after_help = INIT_HELP)]
    Init(InitArgs),
    /// Join a running cluster.
    #[command(after_help = JOIN_HELP)]
    Join(JoinArgs),
    /// Leave the cluster for good.
    #[command(after_help = LEAVE_HELP)]
    Leave(LeaveArgs),
    /// Take this node out of service until its agent is restarted, without leaving the cluster.
    #[command(after_help = WITHDRAW_HELP)]
    Withdraw(WithdrawArgs),
    /// Restart this node's agent so that no request fails, for example after an upgrade.
    #[command(after_help = RESTART_HELP)]
    Restart(RestartArgs),
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
    /// List members, remove one, let one in again, give one other roles.
    #[command(subcommand, after_help = NODE_HELP)]
    Node(NodeCommand),
    /// Make, list and revoke join tokens.
    #[command(subcommand, after_help = TOKEN_HELP)]
    Token(TokenCommand),
    /// Make, list and revoke certificates for the remote API.
    #[command(subcommand, after_help = IDENTITY_HELP)]
    Identity(IdentityCommand),
    /// Replace the key that seals gossip and leases.
    #[command(subcommand, after_help = KEYS_HELP)]
    Keys(KeysCommand),
    /// Replace the cluster's CA and all certificates.
    #[command(subcommand, after_help = CA_HELP)]
    Ca(CaCommand),
    /// Show this program's version and the running agent's.
    #[command(after_help = VERSION_HELP)]
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

    /// The arguments with which a guard that was started with `log` starts another of the agent's processes.
    pub fn for_child(&self, process: &str, log: &LogArgs) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![process.into()];
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

/// Arguments of `init`.
#[derive(Clone, PartialEq, Eq, Debug, Default, ClapArgs)]
pub struct InitArgs {
    /// One JSON object: the cluster, where the others find this node, and a token for them.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `join`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct JoinArgs {
    /// Addresses of members: 10.0.0.11 or 10.0.0.11:7400, several with spaces or commas between.
    #[arg(value_name = "SEED", value_delimiter = ',', value_parser = node_address)]
    pub seeds: Vec<SocketAddr>,
    /// The join token. Other users of this machine can see it here; see --token-file.
    #[arg(long, env = "LVS_AGENT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<TokenText>,
    /// Read the join token from this file, `-` for stdin; counts more than --token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// One JSON object: the cluster, this node, and the rules' revision that it has.
    #[arg(long)]
    pub json: bool,
    /// Give up waiting for the rules after so many seconds; the node goes on by itself.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
}

/// Arguments of `leave`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ClapArgs)]
pub struct LeaveArgs {
    /// Clean up on this machine without asking or telling the cluster: for a cluster that is no more, or will never hear this node again.
    #[arg(long)]
    pub force: bool,
    /// Do not ask, where the cluster ends with this node or loses its last director that is heard.
    #[arg(long)]
    pub yes: bool,
    /// One JSON object: the node, the cluster that it has left, and whether the others were told.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `withdraw`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ClapArgs)]
pub struct WithdrawArgs {
    /// One JSON object: the node, whether it is withdrawn, whether an agent runs, how many changes put the kernel back, and warnings.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `restart`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ClapArgs)]
pub struct RestartArgs {
    /// Do not wait for other nodes, and refuse nothing: requests may fail.
    #[arg(long)]
    pub force: bool,
    /// Give up after so many seconds: waiting for the others, and then for each step.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
    /// One JSON object: the versions before and now, what was restarted, and how long each step took.
    #[arg(long)]
    pub json: bool,
}

/// A join token as it was given, not looked at yet. Debug does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(pub String);

impl FromStr for TokenText {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(token)")
    }
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
    /// One JSON object: the revision compared with, the changes and the warnings.
    #[arg(long, conflicts_with = "offline")]
    pub json: bool,
    /// Exit with 10 when there are changes.
    #[arg(long, conflicts_with = "offline")]
    pub exit_code: bool,
    /// Exit with 5 when there are warnings; counts more than --exit-code.
    #[arg(long, conflicts_with = "offline")]
    pub strict: bool,
    /// Only check the file, without asking the agent.
    #[arg(long)]
    pub offline: bool,
    /// Take a file without any `[[vip]]`, too, which would delete all rules.
    #[arg(long)]
    pub prune: bool,
}

/// Arguments of `apply`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct ApplyArgs {
    /// The cluster file; `-` for stdin.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One JSON object: the new revision, what changed, and the warnings.
    #[arg(long)]
    pub json: bool,
    /// Refuse if the cluster's rules are not at this revision (`plan` shows it).
    #[arg(long, value_name = "N")]
    pub if_revision: Option<u64>,
    /// Take a file without any `[[vip]]`, too: it deletes all rules of the cluster.
    #[arg(long)]
    pub prune: bool,
    /// Refuse, and change nothing, if there are warnings.
    #[arg(long)]
    pub strict: bool,
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

fn server(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(text.to_owned()),
        _ => Err("use an address or a name and the port, for example 10.0.0.11:7443".to_owned()),
    }
}

#[cfg(test)]
mod tests;
