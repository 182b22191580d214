//! Carries out the verbs: each under its own name inside the lab, and below `lvs-lab` anywhere.

use super::args::{ByName, Direct, HostRun, ProbeKind, Verb};
use super::daemons::{self, AgentPids};
use super::hosts::{Host, Role};
use super::job::Job;
use super::namespaces::{self, Room};
use super::{
    attack, cluster, faults, holders, init, paths, pool, power, probe, report, skew, stillness, supervise, wall_clock, watch, web,
};
use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

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
    if name == "cut"
        && let Some(error) = coreutils_cut()
    {
        report::note(format!("cut: {error}"));
        return ExitCode::FAILURE;
    }
    let verb = if verbs().contains(&name) { ByName::parse().verb } else { Direct::parse().verb };
    match carry_out(verb) {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(1)),
        Err(error) => {
            report::note(format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Our `cut A B` stands before `cut -d: -f1` of coreutils in `$PATH`; whoever means that one gets it.
fn coreutils_cut() -> Option<std::io::Error> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let first = args.first()?.to_str()?;
    let ours = ["--one-way", "--help", "-h"].contains(&first) || !first.starts_with('-');
    (!ours).then(|| std::process::Command::new("/usr/bin/cut").args(&args).exec())
}

fn carry_out(verb: Verb) -> Result<i32> {
    match verb {
        Verb::Web { name, ports } => web::serve(&name, &ports)?,
        Verb::Probe(ProbeKind::Http { url, plan }) => report::line(probe::http::run(&url, &plan.into())?),
        Verb::Probe(ProbeKind::Tcp { target, plan }) => report::line(probe::tcp::run(target, &plan.into())?),
        Verb::Attack(attack) => attack::args::carry_out(attack)?,
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
pub fn enter_lab() -> Result<()> {
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
        Verb::ClockAhead { seconds } => wall_clock::ahead(Duration::from_secs(u64::from(seconds)))?,
        Verb::CrashWeb { host } => daemons::crash_web(host)?,
        Verb::StartWeb { host } => daemons::start_web(host)?,
        Verb::StartAgent { hosts } => hosts.into_iter().try_for_each(daemons::start_agent)?,
        Verb::StopAgent { host, signal, wait } => daemons::stop_agent(host, signal, wait)?,
        Verb::AgentPids { host } => return agent_pids(host),
        Verb::SkewClock { host, permille, span } => skew::run(host, permille, span)?,
        Verb::Holder { address } => {
            let holders = holders::of(address)?;
            holders.iter().for_each(report::line);
            return Ok(i32::from(holders.is_empty()));
        }
        Verb::WatchHolders { address, hosts, every, span, arp_every, no_arp, log } => {
            let hosts = if hosts.is_empty() { Host::directors().collect() } else { hosts };
            let arp_every = if no_arp { Duration::ZERO } else { arp_every };
            report::line(watch::run(&watch::Plan { address, hosts, every, span, arp_every, log })?);
        }
        Verb::WatchClock { span } => {
            probe::early::listen()?;
            report::line(stillness::watch(span, probe::early::asked)?);
        }
        Verb::WaitPool { server, directors, out, within } => return pool::wait(server, directors, out, within),
        Verb::FormCluster { file, hosts } => {
            let members = if hosts.is_empty() { Host::nodes().collect() } else { hosts };
            cluster::form(&file, &members, false)?;
        }
        Verb::On { .. } | Verb::Probe(_) | Verb::Attack(_) | Verb::Web { .. } | Verb::HostRun(_) | Verb::Keeper { .. } => {}
    }
    Ok(0)
}

fn agent_pids(host: Host) -> Result<i32> {
    if host.role() == Role::Client {
        bail!("{host} is the client and runs no agent");
    }
    let AgentPids { guards, workers, runners } = AgentPids::of(host)?;
    guards.iter().for_each(|pid| report::line(format!("guard {pid}")));
    workers.iter().for_each(|pid| report::line(format!("worker {pid}")));
    runners.iter().for_each(|pid| report::line(format!("runner {pid}")));
    Ok(i32::from(guards.is_empty()))
}

fn host_run(order: HostRun) -> Result<i32> {
    let kernel = Some(order.kernel).filter(|kernel| kernel != Path::new("none"));
    let job = Job {
        script: order.script,
        each: order.each,
        cwd: std::env::current_dir().context("find the current directory")?,
        env: std::env::vars().filter(|(name, _)| !matches!(name.as_str(), "TMPDIR" | "PWD" | "OLDPWD" | "SHLVL" | "_")).collect(),
        shared: order.share,
        default_cluster: order.default_cluster,
        keep: order.keep,
        time: order.time,
        real_servers: order.real_servers,
        zones: order.zones,
        guest: kernel.is_some(),
    };
    supervise::run(&supervise::Plan {
        kernel,
        job,
        agent: order.agent,
        cluster: order.cluster,
        timeout: order.timeout,
        memory_mb: order.memory_mb,
    })
}
