//! The command line: every verb, under its own name inside the lab and below `lvs-lab` anywhere.

use super::daemons::{self, AgentPids};
use super::faults;
use super::holders;
use super::hosts::{Host, Role, VIP};
use super::job::Job;
use super::namespaces::{self, Room};
use super::probe::target::{HttpTarget, TcpTarget};
use super::{cluster, init, paths, power, probe, report, supervise, watch, web};
use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser, Subcommand};
use rustix::process::Signal;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(name = "lvs-lab", about = "The verbs of the lab; scripts/lab brings one up", version)]
struct Direct {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Parser)]
#[command(multicall = true)]
struct ByName {
    #[command(subcommand)]
    verb: Verb,
}

fn millis(text: &str) -> Result<Duration, String> {
    let ms: f64 = text.parse().map_err(|_| format!("{text:?} is no number of milliseconds"))?;
    if !(ms > 0.0 && ms < 1e9) {
        return Err(format!("{text:?} is no sensible number of milliseconds"));
    }
    Ok(Duration::from_secs_f64(ms / 1e3))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if !(seconds > 0.0 && seconds < 1e6) {
        return Err(format!("{text:?} is no sensible number of seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn at_least_zero(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|number: &f64| (0.0..1e6).contains(number))
        .ok_or_else(|| format!("{text:?} is not a number of 0 or more"))
}

fn percent(text: &str) -> Result<f64, String> {
    at_least_zero(text).ok().filter(|&number| number <= 100.0).ok_or_else(|| format!("{text:?} is not a percentage (0 to 100)"))
}

fn signal(text: &str) -> Result<Signal, String> {
    match text.trim_start_matches("SIG") {
        "TERM" | "15" => Ok(Signal::TERM),
        "INT" | "2" => Ok(Signal::INT),
        "KILL" | "9" => Ok(Signal::KILL),
        "HUP" | "1" => Ok(Signal::HUP),
        "QUIT" | "3" => Ok(Signal::QUIT),
        other => Err(format!("{other:?} is none of TERM, INT, KILL, HUP, QUIT")),
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Run a command on a host; its input, output and exit status are the command's
    #[command(
        after_help = "Examples:\n  on d1 lvs-agent status --json\n  on c curl -s http://$VIP/\n  on r1 df /var/lib/lvs-agent"
    )]
    On {
        host: Host,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Cut the power of a host: cable, processes and kernel state are gone at once; its disk stays
    #[command(after_help = "Example:\n  power-off $(holder)")]
    PowerOff { host: Host },
    /// Give a host its power back: fresh kernel state, web server and agent started as at boot
    PowerOn { host: Host },
    /// Let nothing through between two hosts, or between one host and everyone
    #[command(
        after_help = "Examples:\n  cut d1 r1              neither hears the other\n  cut --one-way d1 r1    what d1 sends does not reach r1\n  cut d1                 d1 hears nobody and nobody hears d1\n  heal                   everything is well again"
    )]
    Cut {
        /// Only what A sends to B (or to everyone) is lost
        #[arg(long)]
        one_way: bool,
        a: Host,
        b: Option<Host>,
    },
    /// Lose a part of the frames of a host, in each direction; 0 ends it
    Loss {
        host: Host,
        #[arg(value_parser = percent)]
        percent: f64,
    },
    /// Delay the frames of a host, in each direction; 0 ends it
    Delay {
        host: Host,
        #[arg(value_parser = at_least_zero)]
        ms: f64,
        /// How far the delay varies either way, in milliseconds
        #[arg(value_parser = at_least_zero, default_value = "0")]
        jitter: f64,
    },
    /// Take away every cut, loss and delay
    Heal,
    /// Kill the web server of a host with SIGKILL: new connections are reset
    CrashWeb { host: Host },
    /// Start the web server of a host and wait until it listens
    StartWeb { host: Host },
    /// Start the agent of a host, now and at every later power-on
    StartAgent { host: Host },
    /// End the agent of a host and wait until it is gone
    StopAgent {
        host: Host,
        /// TERM, INT, KILL (to guard and worker), HUP or QUIT
        #[arg(long, default_value = "TERM", value_parser = signal)]
        signal: Signal,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
        wait: Duration,
    },
    /// Print "guard PID" and "worker PID" of a host's agent; exit status 1 when none runs
    AgentPids { host: Host },
    /// Print the hosts whose kernel holds the VIP on a real interface, one per line; exit status 1 when none does
    Holder {
        #[arg(default_value_t = VIP)]
        address: Ipv4Addr,
    },
    /// Sample who holds the VIP and who answers ARP for it
    ///
    /// Prints one line: holders_max=N arp_macs_max=N samples=N changes=N unheld_ms=N last=HOST arp=HOST:N,…
    /// holders_max: most hosts that had the address in their kernel at one sample. arp_macs_max: most MACs that answered one
    /// question of the client.
    #[command(after_help = "Example:\n  watch-holders --every 5 --for 20 &\n  cut d1; sleep 10; heal; wait")]
    WatchHolders {
        #[arg(default_value_t = VIP)]
        address: Ipv4Addr,
        /// From one sample to the next, in milliseconds
        #[arg(long, value_name = "MS", default_value = "5", value_parser = millis)]
        every: Duration,
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        span: Duration,
        /// From one ARP question to the next, in milliseconds
        #[arg(long, value_name = "MS", default_value = "50", value_parser = millis)]
        arp_every: Duration,
        /// Ask no ARP questions
        #[arg(long)]
        no_arp: bool,
        /// One line "MS HOLDERS" for each change
        #[arg(long, value_name = "FILE")]
        log: Option<PathBuf>,
    },
    /// Send requests on schedule and print what became of them
    #[command(subcommand)]
    Probe(ProbeKind),
    /// Form a cluster as the lab does at its start (start agents, init, join, apply), and wait for the kernels to show it
    FormCluster {
        #[arg(default_value = paths::CLUSTER)]
        file: PathBuf,
    },
    /// A web server that answers GET with NAME and echoes everything else
    Web {
        name: String,
        #[arg(required = true)]
        ports: Vec<u16>,
    },
    #[command(hide = true)]
    HostRun(HostRun),
    #[command(hide = true)]
    Keeper { folder: PathBuf, kernel: Option<PathBuf>, memory_mb: Option<u32> },
}

#[derive(Subcommand)]
enum ProbeKind {
    /// HTTP requests, each on a new connection, started on schedule whatever became of the last
    ///
    /// Prints one line: sent=N ok=N failed=N outage_ms=N outage_at_ms=N servers=r1:N,r2:N,…
    /// ok: answered with status 200 in time. outage_ms: longest time without an answer, from start to end of the probe.
    #[command(
        after_help = "Example:\n  on c probe http http://$VIP/ --every 5 --for 10\n\nLines of the log: START_MS TOOK_MS ok|timeout|refused|reset|unreachable|closed|status|error SERVER"
    )]
    Http {
        /// http://IP[:PORT][/PATH]
        url: HttpTarget,
        #[command(flatten)]
        plan: Schedule,
    },
    /// Messages on one long-lived echo connection
    ///
    /// Prints one line: sent=N echoed=N stall_ms=N end=alive|reset|timeout
    /// stall_ms: longest time without an echo.
    #[command(after_help = "Example:\n  on c probe tcp $VIP:80 --every 10 --for 20")]
    Tcp {
        /// IP:PORT
        target: TcpTarget,
        #[command(flatten)]
        plan: Schedule,
    },
}

#[derive(clap::Args)]
struct Schedule {
    /// From one start to the next, in milliseconds
    #[arg(long, value_name = "MS", value_parser = millis)]
    every: Duration,
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    span: Duration,
    /// How long to wait for an answer, in milliseconds
    #[arg(long, value_name = "MS", default_value = "1000", value_parser = millis)]
    timeout: Duration,
    /// One line for each request
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl From<Schedule> for probe::Plan {
    fn from(Schedule { every, span, timeout, log }: Schedule) -> Self {
        Self { every, span, timeout, log }
    }
}

/// What `scripts/lab` calls once everything is built.
#[derive(clap::Args)]
struct HostRun {
    /// The guest kernel; without it the host's own
    #[arg(long)]
    kernel: Option<PathBuf>,
    #[arg(long)]
    time: String,
    #[arg(long, value_parser = seconds)]
    timeout: Duration,
    #[arg(long)]
    cluster: Option<PathBuf>,
    #[arg(long)]
    default_cluster: bool,
    #[arg(long)]
    agent: Option<PathBuf>,
    #[arg(long)]
    keep: bool,
    #[arg(long)]
    share: Vec<PathBuf>,
    #[arg(long, default_value_t = 1024)]
    memory_mb: u32,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    script: Vec<PathBuf>,
}

/// Names under which the binary is installed in the lab.
pub fn verbs() -> Vec<String> {
    Direct::command().get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name().to_owned()).collect()
}

/// Parses and carries out one verb.
pub fn main() -> ExitCode {
    if std::process::id() == 1
        && let Some(folder) = std::env::var_os("LVS_LAB_JOB")
    {
        init::guest(Path::new(&folder));
    }
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("lvs-lab").to_owned();
    let verb = if verbs().contains(&name) { ByName::parse().verb } else { Direct::parse().verb };
    match carry_out(verb) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => {
            report::note(format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(verb: Verb) -> Result<i32> {
    match verb {
        Verb::Web { name, ports } => web::serve(&name, &ports)?,
        Verb::Probe(ProbeKind::Http { url, plan }) => report::line(probe::http::run(&url, &plan.into())?),
        Verb::Probe(ProbeKind::Tcp { target, plan }) => report::line(probe::tcp::run(target, &plan.into())?),
        Verb::HostRun(order) => return host_run(order),
        Verb::Keeper { folder, kernel, memory_mb } => {
            return supervise::keep(&folder, kernel.as_deref(), memory_mb.unwrap_or(1024));
        }
        Verb::On { host, command } => return on(host, &command),
        verb => {
            enter_lab()?;
            return on_the_switch(verb);
        }
    }
    Ok(0)
}

/// To the root namespaces of the lab, and there to where the caller stood.
fn enter_lab() -> Result<()> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    namespaces::enter_root().context("this verb works inside the lab only (scripts/lab run SCRIPT)")?;
    if !Path::new(paths::ROOT).join("bin/lvs-lab").exists() {
        bail!("this verb works inside the lab only (scripts/lab run SCRIPT)");
    }
    let _ = std::env::set_current_dir(cwd);
    Ok(())
}

fn on(host: Host, command: &[OsString]) -> Result<i32> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    enter_lab()?;
    Room::open(host)?.enter().with_context(|| format!("enter {host}"))?;
    let _ = std::env::set_current_dir(cwd);
    let [program, args @ ..] = command else { bail!("no command") };
    let error = std::process::Command::new(program).args(args).env("HOST", host.name()).env("HOSTNAME", host.name()).exec();
    report::note(format!("on: {host}: {}: {error}", program.display()));
    Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

fn on_the_switch(verb: Verb) -> Result<i32> {
    match verb {
        Verb::PowerOff { host } => power::off(host)?,
        Verb::PowerOn { host } => power::on(&[host])?,
        Verb::Cut { one_way, a, b } => {
            if b == Some(a) {
                report::note(format!("cut: {a} cannot be cut from itself"));
                return Ok(2);
            }
            let others = Host::all().filter(|&other| other != a && b.is_none_or(|b| b == other));
            let pairs: Vec<(Host, Host)> =
                others.flat_map(|other| [Some((a, other)), (!one_way).then_some((other, a))]).flatten().collect();
            faults::cut(&pairs)?;
        }
        Verb::Loss { host, percent } => faults::spoil(host, |cable| cable.loss = percent)?,
        Verb::Delay { host, ms, jitter } => faults::spoil(host, |cable| (cable.delay_ms, cable.jitter_ms) = (ms, jitter))?,
        Verb::Heal => faults::heal()?,
        Verb::CrashWeb { host } => daemons::crash_web(host)?,
        Verb::StartWeb { host } => daemons::start_web(host)?,
        Verb::StartAgent { host } => daemons::start_agent(host)?,
        Verb::StopAgent { host, signal, wait } => daemons::stop_agent(host, signal, wait)?,
        Verb::AgentPids { host } => return agent_pids(host),
        Verb::Holder { address } => {
            let holders = holders::of(address)?;
            holders.iter().for_each(report::line);
            return Ok(i32::from(holders.is_empty()));
        }
        Verb::WatchHolders { address, every, span, arp_every, no_arp, log } => {
            let arp_every = if no_arp { Duration::ZERO } else { arp_every };
            report::line(watch::run(&watch::Plan { address, every, span, arp_every, log })?);
        }
        Verb::FormCluster { file } => cluster::form(&file, false)?,
        Verb::On { .. } | Verb::Probe(_) | Verb::Web { .. } | Verb::HostRun(_) | Verb::Keeper { .. } => {}
    }
    Ok(0)
}

fn agent_pids(host: Host) -> Result<i32> {
    if host.role() == Role::Client {
        bail!("{host} is the client and runs no agent");
    }
    let AgentPids { guards, workers } = AgentPids::of(host)?;
    guards.iter().for_each(|pid| report::line(format!("guard {pid}")));
    workers.iter().for_each(|pid| report::line(format!("worker {pid}")));
    Ok(i32::from(guards.is_empty()))
}

fn host_run(order: HostRun) -> Result<i32> {
    let job = Job {
        script: order.script,
        cwd: std::env::current_dir().context("find the current directory")?,
        env: std::env::vars().filter(|(name, _)| !matches!(name.as_str(), "TMPDIR" | "PWD" | "OLDPWD" | "SHLVL" | "_")).collect(),
        shared: order.share,
        agent: order.agent.unwrap_or_default(),
        default_cluster: order.default_cluster,
        keep: order.keep,
        time: order.time,
        guest: order.kernel.is_some(),
    };
    supervise::run(&supervise::Plan {
        kernel: order.kernel,
        job,
        cluster: order.cluster,
        timeout: order.timeout,
        memory_mb: order.memory_mb,
    })
}
