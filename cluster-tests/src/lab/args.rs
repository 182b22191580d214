//! The command line of the verbs: names, arguments, help.
#![expect(missing_docs, reason = "doc comments here are the help that users read; a name that says it all has none")]

use super::attack::args::Attack;
use super::hosts::{Host, REAL_SERVERS_DEFAULT, REAL_SERVERS_MAX, VIP};
use super::paths;
use super::probe;
use super::probe::target::{HttpTarget, TcpTarget};
use clap::{Parser, Subcommand};
use rustix::process::Signal;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
#[command(name = "lvs-lab", about = "The verbs of the lab; scripts/lab brings one up", version)]
pub struct Direct {
    #[command(subcommand)]
    /// What to do.
    pub verb: Verb,
}

#[derive(Parser)]
#[command(multicall = true)]
pub struct ByName {
    #[command(subcommand)]
    /// What to do.
    pub verb: Verb,
}

fn millis(text: &str) -> Result<Duration, String> {
    let ms: f64 = text.parse().map_err(|_| format!("{text:?} is no number of milliseconds"))?;
    if !(ms > 0.0 && ms < 1e9) {
        return Err(format!("{text:?} is no sensible number of milliseconds"));
    }
    Ok(Duration::from_secs_f64(ms / 1e3))
}

/// For `value_parser`.
pub fn seconds(text: &str) -> Result<Duration, String> {
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
pub enum Verb {
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
    /// Set the clock on the wall ahead, for all hosts at once; in a guest kernel only, never on a machine
    ClockAhead {
        #[arg(value_name = "SECONDS")]
        seconds: u32,
    },
    /// Kill the web server of a host with SIGKILL: new connections are reset
    CrashWeb { host: Host },
    /// Start the web server of a host and wait until it listens
    StartWeb { host: Host },
    /// Start the agents of hosts, now and at every later power-on
    StartAgent {
        #[arg(required = true)]
        hosts: Vec<Host>,
    },
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
    /// Print "guard PID", "worker PID" and "runner PID" of a host's agent; exit status 1 when none runs
    AgentPids { host: Host },
    /// Have the clock of a host's guard run fast, or slow where PERMILLE is negative, and then on at the right rate, as far off as it is by then
    ///
    /// Goes on until SIGTERM, or until the guard ends: its clock would go back otherwise. Prints a line when it has begun.
    SkewClock {
        host: Host,
        /// By how many thousandths
        #[arg(value_parser = clap::value_parser!(i32).range(-900..=900), allow_negative_numbers = true)]
        permille: i32,
        /// For how long it runs at another rate
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        span: Duration,
    },
    /// Print the hosts whose kernel holds the VIP on a real interface, one per line; exit status 1 when none does
    Holder {
        #[arg(default_value_t = VIP)]
        address: Ipv4Addr,
    },
    /// Sample who holds the VIP and who answers ARP for it
    ///
    /// Prints one line, in the end or at SIGTERM: holders_max=N arp_macs_max=N arp_twice=N samples=N changes=N unheld_ms=N last=HOST arp=HOST:N,…
    /// holders_max: most of them that had the address in their kernel at one sample. arp_macs_max: most MACs that answered one
    /// question of the client. arp_twice: questions that two or more answered.
    #[command(after_help = "Example:\n  watch-holders --every 5 --for 20 &\n  cut d1; sleep 10; heal; wait")]
    WatchHolders {
        #[arg(default_value_t = VIP)]
        address: Ipv4Addr,
        /// Whose kernels to look at, instead of both directors'
        #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
        hosts: Vec<Host>,
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
    /// See how long this machine's processors stood still, in real time
    ///
    /// A real-time thread on each of them looks at the clock every millisecond. Prints one line, in the end or at SIGTERM:
    /// still_ms_max=N still_over_25_ms=N samples=N real_time=yes|no
    WatchClock {
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        span: Duration,
    },
    /// Wait until directors send to a server, or with --out until they do not, as their kernels have it
    ///
    /// Prints waited_ms=N for each director, in the order in which they came to it. Exit status 1 when one did not in time.
    #[command(after_help = "Example:\n  crash-web r1; wait-pool r1 d1 d2 --out --within 5")]
    WaitPool {
        server: Host,
        #[arg(required = true)]
        directors: Vec<Host>,
        /// Until they do not
        #[arg(long)]
        out: bool,
        #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
        within: Duration,
    },
    /// Send requests on schedule and print what became of them
    #[command(subcommand)]
    Probe(ProbeKind),
    #[command(flatten)]
    Attack(Attack),
    /// Form a cluster as the lab does at its start (start agents, init, join, apply), and wait for the kernels to show it
    FormCluster {
        #[arg(default_value = paths::CLUSTER)]
        file: PathBuf,
        /// Of these hosts only, the first of them its founder
        #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
        hosts: Vec<Host>,
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
pub enum ProbeKind {
    /// HTTP requests, each on a new connection, started on schedule whatever became of the last
    ///
    /// Prints one line, in the end or at SIGTERM: sent=N ok=N failed=N outage_ms=N outage_at_ms=N servers=r1:N,r2:N,…
    /// ok: answered with status 200 in time. outage_ms: longest time without an answer, from start to end of the probe.
    #[command(
        after_help = "Example:\n  on c probe http http://$VIP/ --every 5 --for 10\n\nLines of the log: START_MS TOOK_MS ok|timeout|refused|reset|unreachable|closed|status|error SERVER"
    )]
    Http {
        #[arg(help = "http://IP[:PORT][/PATH]")]
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
pub struct Schedule {
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
pub struct HostRun {
    /// The guest kernel, or "none" for the host's own: never left out, because what a script does then happens on this machine
    #[arg(long)]
    pub kernel: PathBuf,
    #[arg(long)]
    pub time: String,
    #[arg(long, value_parser = seconds)]
    pub timeout: Duration,
    #[arg(long)]
    pub cluster: Option<PathBuf>,
    #[arg(long)]
    pub default_cluster: bool,
    #[arg(long)]
    pub agent: Option<PathBuf>,
    #[arg(long)]
    pub keep: bool,
    /// SCRIPT… are scripts, not one with its arguments: each one runs as if it were the only one; the limit is for each
    #[arg(long)]
    pub each: bool,
    #[arg(long)]
    pub share: Vec<PathBuf>,
    #[arg(long, default_value_t = 1024)]
    pub memory_mb: u32,
    #[arg(long, default_value_t = REAL_SERVERS_DEFAULT, value_parser = clap::value_parser!(u8).range(1..=i64::from(REAL_SERVERS_MAX)))]
    pub real_servers: u8,
    #[arg(long, default_value_t = 0)]
    pub zones: u8,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub script: Vec<PathBuf>,
}
