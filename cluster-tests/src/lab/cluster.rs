//! Forming the cluster: agents up, `init`, `join`, `apply`, and then waiting until the kernels show it.

use super::daemons;
use super::holders;
use super::hosts::Host;
use super::ipvs::{self, Service};
use super::marks::{self, Mark};
use super::{report, ticks};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// The demo's cluster file.
pub const DEFAULT: &str = include_str!("../../cluster.toml");

/// How long an agent may take to answer its first command.
const AGENT_LIMIT: Duration = Duration::from_secs(10);
/// How long the rules may take to reach every kernel, and the servers to be found alive.
const RULES_LIMIT: Duration = Duration::from_secs(30);

/// How many nodes may join with the token that `init` prints.
const INIT_TOKEN_USES: usize = 16;

/// How long it may take until all voters vote.
const VOTERS_LIMIT: Duration = Duration::from_secs(30);

/// What a cluster file asks for, as far as it can be seen in the kernels.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    vips: Vec<Ipv4Addr>,
    services: Vec<Service>,
}

impl Wanted {
    /// Reads a cluster file loosely: judging it is the agent's business. What is not IPv4 is left out.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("understand {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let file: toml::Table = text.parse()?;
        let tables = |holder: &toml::Table, key: &str| -> Vec<toml::Table> {
            let list = holder.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
            list.into_iter().filter_map(|value| value.try_into().ok()).collect()
        };
        let text_of = |table: &toml::Table, key: &str| table.get(key).and_then(toml::Value::as_str).unwrap_or("").to_owned();
        let port_of =
            |table: &toml::Table| table.get("port").and_then(toml::Value::as_integer).and_then(|port| u16::try_from(port).ok());
        let mut wanted = Self::default();
        let mut groups = Vec::new();
        for vip in tables(&file, "vip") {
            let addresses = vip.get("addresses").and_then(toml::Value::as_array).cloned().unwrap_or_default();
            let addresses: Vec<Ipv4Addr> =
                addresses.iter().filter_map(|address| address.as_str()?.split('/').next()?.parse().ok()).collect();
            wanted.vips.extend(&addresses);
            groups.push((text_of(&vip, "name"), addresses));
        }
        for service in tables(&file, "service") {
            let group = text_of(&service, "vip");
            let Some(port) = port_of(&service) else { continue };
            let servers: Vec<(SocketAddrV4, u32)> = tables(&service, "server")
                .iter()
                .filter_map(|server| {
                    let weight = server.get("weight").and_then(toml::Value::as_integer).unwrap_or(1);
                    let ip = text_of(server, "address").parse().ok()?;
                    Some((SocketAddrV4::new(ip, port_of(server).unwrap_or(port)), u32::try_from(weight).ok()?))
                })
                .collect();
            let addresses = groups.iter().filter(|(name, _)| *name == group).flat_map(|(_, addresses)| addresses);
            wanted.services.extend(addresses.map(|&vip| Service {
                protocol:
                    Some(text_of(&service, "protocol")).filter(|named| !named.is_empty()).unwrap_or_else(|| "tcp".to_owned()),
                address: SocketAddrV4::new(vip, port),
                servers: servers.clone(),
            }));
        }
        Ok(wanted)
    }

    /// What the kernels lack, in words: (without this there is no cluster, servers that are not in).
    fn missing(&self, members: &[Host]) -> Result<(String, String)> {
        let (mut hard, mut soft) = (String::new(), String::new());
        for &vip in &self.vips {
            let holders = holders::of(vip)?;
            if holders.len() != 1 {
                writeln!(hard, "  {vip} is held by {holders:?}, not by one director")?;
            }
        }
        for director in Host::directors().filter(|director| members.contains(director)) {
            let table = ipvs::table(director)?;
            for service in &self.services {
                let Some(seen) = table.iter().find(|seen| seen.address == service.address && seen.protocol == service.protocol)
                else {
                    writeln!(hard, "  {director} has no IPVS service {}", service.address)?;
                    continue;
                };
                for (server, weight) in &service.servers {
                    let in_place = seen.servers.iter().any(|(address, weight)| address == server && *weight > 0);
                    if *weight > 0 && !in_place {
                        writeln!(soft, "  {director} sends nothing to {server} for {}", service.address)?;
                    }
                }
            }
        }
        Ok((hard, soft))
    }

    /// Waits until the kernels show the file. `strict` also wants every server in.
    pub fn wait(&self, members: &[Host], strict: bool) -> Result<()> {
        let mut last = (String::new(), String::new());
        let mut failure = None;
        ticks::poll(RULES_LIMIT, Duration::from_millis(50), || match self.missing(members) {
            Ok(missing) => {
                last = missing;
                last.0.is_empty() && last.1.is_empty()
            }
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let (hard, soft) = last;
        if !hard.is_empty() || (strict && !soft.is_empty()) {
            bail!("{RULES_LIMIT:?} after the cluster file was applied the kernels still lack:\n{hard}{soft}");
        }
        if !soft.is_empty() {
            report::note(format!("lab: servers that are not in (the cluster file may mean it so):\n{}", soft.trim_end()));
        }
        Ok(())
    }
}

/// Runs `lvs-agent args…` on a host, again until it succeeds: a daemon that has just been started opens its socket soon. What it printed.
fn agent(host: Host, args: &[&str]) -> Result<Vec<u8>> {
    let (mut said, mut printed) = (String::new(), Vec::new());
    let done = ticks::poll(AGENT_LIMIT, Duration::from_millis(100), || {
        let output = daemons::command_on(host, "lvs-agent")
            .and_then(|mut command| Ok(command.args(args).stdin(Stdio::null()).output()?));
        match output {
            Ok(output) if output.status.success() => {
                printed = output.stdout;
                true
            }
            Ok(output) => {
                said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
                false
            }
            Err(error) => {
                said = format!("{error:#}");
                false
            }
        }
    });
    if !done {
        // A token is a secret, even here: it would stand in the logs of every failed run.
        let shown: Vec<&str> = args.iter().map(|&arg| if arg.starts_with("lvs1_") { "TOKEN" } else { arg }).collect();
        bail!("on {host}: lvs-agent {} does not succeed within {AGENT_LIMIT:?}; last answer: {said}", shown.join(" "));
    }
    Ok(printed)
}

/// The token in what `init --json` or `token create --json` printed.
fn token(printed: &[u8]) -> Result<String> {
    let said: serde_json::Value = serde_json::from_slice(printed).context("what the agent printed is no JSON")?;
    let token = said["token"]["token"].as_str().or_else(|| said["token"].as_str());
    token.map(str::to_owned).context("the agent printed no token")
}

/// Forms a cluster from hosts whose agents have never run, the first of them its founder; applies `file`, and waits until it serves.
pub fn form(file: &Path, members: &[Host], strict: bool) -> Result<()> {
    let wanted = Wanted::read(file)?;
    let [founder, others @ ..] = members else { bail!("a cluster of which hosts?") };
    marks::set(&Mark::Form);
    members.iter().copied().try_for_each(daemons::start_agent)?;
    let mut token = token(&agent(*founder, &["init", "--json"])?)?;
    if others.len() > INIT_TOKEN_USES {
        let uses = others.len().to_string();
        token =
            self::token(&agent(*founder, &["token", "create", "--json", "--uses", &uses, "--roles", "director,real-server"])?)?;
    }
    let seed = founder.address().to_string();
    others.iter().try_for_each(|&host| agent(host, &["join", &seed, "--token", &token]).map(drop))?;
    agent(*founder, &["apply", &file.display().to_string()])?;
    comes_back(&wanted, members, strict)?;
    marks::set(&Mark::Formed);
    Ok(())
}

/// Waits until a cluster whose agents have just been started is as a new one is: it serves, and all vote who will.
pub fn comes_back(wanted: &Wanted, members: &[Host], strict: bool) -> Result<()> {
    wanted.wait(members, strict)?;
    all_vote(members)
}

/// Waits until there are as many voters as there will be: before that the loss of one machine may cost the majority. Voters are added
/// one by one.
fn all_vote(members: &[Host]) -> Result<()> {
    let wanted = voters(members.len());
    let mut voters = 0;
    let done = ticks::poll(VOTERS_LIMIT, Duration::from_millis(250), || {
        voters = members.first().and_then(|&founder| voters_of(founder).ok()).unwrap_or(0);
        voters == wanted
    });
    if done { Ok(()) } else { bail!("{VOTERS_LIMIT:?} after the cluster served, {voters} of {wanted} voters vote") }
}

/// An odd number of the nodes votes, at most five.
fn voters(nodes: usize) -> usize {
    let odd = if nodes.is_multiple_of(2) { nodes.saturating_sub(1) } else { nodes };
    odd.min(5)
}

fn voters_of(host: Host) -> Result<usize> {
    let output = daemons::command_on(host, "lvs-agent")?.args(["status", "--json"]).stdin(Stdio::null()).output()?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let cluster = &status["cluster"];
    // An agent that has just come back may have voters on its disk that it has not heard yet.
    let all_heard = status["nodes"].as_array().is_some_and(|nodes| nodes.iter().all(|node| node["reachable"] == true));
    let voters = cluster["voters"].as_array().filter(|_| cluster["quorum"] == true && all_heard);
    Ok(voters.map_or(0, Vec::len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lab_s_own_cluster_file_asks_for_one_vip_and_three_servers() {
        let wanted = Wanted::parse(DEFAULT).unwrap();
        assert_eq!(wanted.vips, [super::super::hosts::VIP]);
        let [service] = wanted.services.as_slice() else { panic!("one service: {wanted:?}") };
        assert_eq!(service.address, "10.0.0.100:80".parse().unwrap());
        assert_eq!(service.servers.len(), 3);
    }

    #[test]
    fn an_odd_number_votes_and_never_more_than_five() {
        assert_eq!([1, 2, 3, 4, 5, 6, 30].map(voters), [1, 1, 3, 3, 5, 5, 5]);
    }

    #[test]
    fn a_token_is_found_in_the_answer_of_init_and_of_token_create() {
        assert_eq!(token(br#"{"cluster_id":"x","token":{"token":"lvs1_a","id":"00"}}"#).unwrap(), "lvs1_a");
        assert_eq!(token(br#"{"token":"lvs1_b","id":"00"}"#).unwrap(), "lvs1_b");
        assert!(token(br#"{"token":null}"#).is_err());
    }

    #[test]
    fn what_a_cluster_file_leaves_out_is_what_the_agent_takes_it_for() {
        let tcp = Wanted::parse("[[vip]]\nname='v'\naddresses=['10.0.0.101']\n[[service]]\nvip='v'\nport=80\n").unwrap();
        assert_eq!(tcp.services[0].protocol, "tcp");
        let wanted = Wanted::parse(
            "[[vip]]\nname='v'\naddresses=['10.0.0.101/32','fd00::1']\n[[service]]\nname='s'\nvip='v'\nprotocol='udp'\nport=53\n\
             [[service.server]]\naddress='10.0.0.21'\n[[service.server]]\naddress='10.0.0.22'\nport=5353\nweight=0\n",
        )
        .unwrap();
        assert_eq!(wanted.services[0].servers, [("10.0.0.21:53".parse().unwrap(), 1), ("10.0.0.22:5353".parse().unwrap(), 0)]);
    }
}
