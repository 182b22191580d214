//! What runs on a host: the agent and, on real servers, the web server. Starting, finding and killing them.

use super::hosts::{Host, Role};
use super::namespaces::{self, Room};
use super::procs::{self, Process};
use super::{disk, paths, ticks};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ports of the web server: HTTP and echo on 80, echo on 7.
const WEB_PORTS: [&str; 2] = ["80", "7"];
/// How long a daemon may take to show that it lives.
const START_LIMIT: Duration = Duration::from_secs(5);

/// Starts on a host what its boot would start.
pub fn boot(host: Host) -> Result<()> {
    if host.role() == Role::RealServer {
        start_web(host)?;
    }
    if disk::enabled(host).exists() {
        start_agent(host)?;
    }
    Ok(())
}

/// A command that will run on the host, in a session of its own.
pub fn command_on(host: Host, program: &str) -> Result<Command> {
    let room = Room::open(host)?;
    let mut command = Command::new(program);
    command.env("HOST", host.name()).env("HOSTNAME", host.name());
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || room.enter());
    }
    Ok(command)
}

fn spawn(host: Host, program: &str, args: &[&str], log: &str) -> Result<Child> {
    let folder = paths::logs();
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let path = folder.join(format!("{host}.{log}.log"));
    let output = OpenOptions::new().create(true).append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut command = command_on(host, program)?;
    command.args(args).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0).current_dir("/");
    command.spawn().with_context(|| format!("start {program} on {host}"))
}

/// Waits until a daemon serves, and tells from its log why it does not.
fn settle(host: Host, child: &mut Child, log: &str, mut ready: impl FnMut() -> bool) -> Result<()> {
    let mut ended = None;
    let ok = ticks::poll(START_LIMIT, Duration::from_millis(2), || {
        ended = child.try_wait().ok().flatten();
        ended.is_some() || ready()
    });
    let path = paths::logs().join(format!("{host}.{log}.log"));
    let said = || {
        std::fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .rev()
            .take(5)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n")
    };
    match ended {
        Some(status) => bail!("the {log} of {host} ended at once ({status}); end of {}:\n{}", path.display(), said()),
        None if !ok => {
            bail!("the {log} of {host} is not up after {START_LIMIT:?}; end of {}:\n{}", path.display(), said())
        }
        None => Ok(()),
    }
}

fn processes(host: Host) -> Result<Vec<Process>> {
    match namespaces::inode(host) {
        Some(inode) => Ok(procs::in_namespace(inode)),
        None => bail!("{host} is powered off (power-on {host} brings it back)"),
    }
}

fn web_servers(host: Host) -> Result<Vec<Process>> {
    Ok(processes(host)?.into_iter().filter(|process| process.name() == "web").collect())
}

/// Starts the web server and returns once it listens.
pub fn start_web(host: Host) -> Result<()> {
    if host.role() != Role::RealServer {
        bail!("{host} has no web server; the real servers (r1, …) have one");
    }
    if !web_servers(host)?.is_empty() {
        bail!("the web server of {host} runs already");
    }
    let [http, echo] = WEB_PORTS;
    let mut child = spawn(host, &format!("{}/web", paths::BIN), &[host.name(), http, echo], "web")?;
    settle(host, &mut child, "web", || listens(host, 7))
}

/// True when something on the host listens on this TCP port (dual-stack sockets are in the IPv6 table).
fn listens(host: Host, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    namespaces::within_net(host, || Ok(std::fs::read_to_string("/proc/thread-self/net/tcp6")?)).is_ok_and(|table| {
        table.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|local| local.ends_with(&wanted)) && fields.nth(1) == Some("0A")
        })
    })
}

/// Kills the web server with SIGKILL: its listening sockets are gone, new connections are reset.
pub fn crash_web(host: Host) -> Result<()> {
    let running = web_servers(host)?;
    if running.is_empty() {
        bail!("no web server runs on {host}");
    }
    running.iter().for_each(|process| procs::signal(process.pid, Signal::KILL));
    wait_gone(host, "web server", Duration::from_secs(5), web_servers)
}

fn wait_gone(host: Host, what: &str, limit: Duration, list: impl Fn(Host) -> Result<Vec<Process>>) -> Result<()> {
    let mut left = Vec::new();
    let gone = ticks::poll(limit, Duration::from_millis(1), || {
        left = list(host).unwrap_or_default();
        left.is_empty()
    });
    if !gone {
        let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
        bail!("the {what} of {host} is still there after {limit:?}: pid {}", pids.join(" "));
    }
    Ok(())
}

/// The agent's processes on a host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AgentPids {
    /// `lvs-agent run` itself.
    pub guards: Vec<i32>,
    /// Its children, but for the script runner.
    pub workers: Vec<i32>,
    /// That one.
    pub runners: Vec<i32>,
}

impl AgentPids {
    fn sort_out(processes: &[Process]) -> Self {
        let agents: Vec<&Process> = processes.iter().filter(|process| process.name() == "lvs-agent").collect();
        let guards: Vec<i32> = agents
            .iter()
            .filter(|process| process.words.iter().skip(1).any(|word| word == "run"))
            .filter(|process| !agents.iter().any(|other| other.pid == process.parent))
            .map(|process| process.pid)
            .collect();
        let is_runner = |process: &Process| process.words.iter().skip(1).any(|word| word == "script-runner");
        let children = processes.iter().filter(|process| guards.contains(&process.parent));
        let (runners, workers): (Vec<&Process>, Vec<&Process>) = children.partition(|process| is_runner(process));
        let pids = |of: Vec<&Process>| of.into_iter().map(|process| process.pid).collect();
        Self { guards, workers: pids(workers), runners: pids(runners) }
    }

    /// Guard and worker processes of a host; a worker whose guard has died counts as long as it lives.
    pub fn of(host: Host) -> Result<Self> {
        Ok(Self::sort_out(&processes(host)?))
    }
}

fn daemons(host: Host) -> Result<Vec<Process>> {
    let all = processes(host)?;
    let AgentPids { guards, workers, runners } = AgentPids::sort_out(&all);
    let ours = [guards, workers, runners].concat();
    let orphan = |process: &Process| process.parent == 1 && process.name() == "lvs-agent";
    Ok(all.into_iter().filter(|process| ours.contains(&process.pid) || orphan(process)).collect())
}

/// Starts `lvs-agent run` and marks it for every later boot of the host.
pub fn start_agent(host: Host) -> Result<()> {
    if host.role() == Role::Client {
        bail!("{host} is the client and runs no agent");
    }
    if !AgentPids::of(host)?.guards.is_empty() {
        bail!("the agent of {host} runs already");
    }
    std::fs::write(disk::enabled(host), "")?;
    spawn(host, "lvs-agent", &["run"], "agent").map(drop)
}

/// Ends the agent with a signal and waits until guard and worker are gone. SIGKILL goes to all.
pub fn stop_agent(host: Host, how: Signal, limit: Duration) -> Result<()> {
    let AgentPids { guards, workers, runners } = AgentPids::of(host)?;
    if guards.is_empty() {
        bail!("no agent runs on {host}");
    }
    guards.iter().for_each(|&pid| procs::signal(pid, how));
    if how == Signal::KILL {
        workers.iter().chain(&runners).for_each(|&pid| procs::signal(pid, how));
    }
    wait_gone(host, "agent", limit, daemons)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, words: &[&str]) -> Process {
        Process { pid, parent, words: words.iter().map(|&word| word.to_owned()).collect() }
    }

    #[test]
    fn the_guard_is_told_from_its_worker_and_from_a_command() {
        let seen = [
            process(10, 1, &["lvs-agent", "run"]),
            process(11, 10, &["/usr/bin/lvs-agent", "run", "--worker"]),
            process(12, 5, &["lvs-agent", "status"]),
            process(14, 10, &["/usr/bin/lvs-agent", "script-runner", "--config", "/a.toml"]),
            process(13, 1, &["web", "r1", "80"]),
        ];
        assert_eq!(AgentPids::sort_out(&seen), AgentPids { guards: vec![10], workers: vec![11], runners: vec![14] });
    }
}
