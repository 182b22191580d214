//! The text of the `agent.toml` that `lvs-agent configure` writes, and whose work one is that is there already.

use super::{agent::AgentConfig, export::quoted, value::DEFAULT_PORT};
use crate::model::{NodeName, Roles, TimingProfile, ZoneName};
use data_encoding::HEXLOWER;
use std::{collections::BTreeSet, net::SocketAddr};
use toml::de::DeTable;

/// The file that the package installs: every key, commented out.
pub const TEMPLATE: &str = include_str!("../../scripts/debian/agent.toml");

/// What the line with the checksum begins with. It is the last line of a file that `configure` has written.
const CHECKSUM: &str = "# checksum ";
/// Bytes of the checksum: it tells edited files from others, and defends against nobody.
const CHECKSUM_BYTES: usize = 8;

/// What `configure` puts into `agent.toml`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentFile {
    /// `roles`.
    pub roles: Roles,
    /// `address`.
    pub address: SocketAddr,
    /// `node`; `None`: the host name.
    pub node: Option<NodeName>,
    /// `seeds`.
    pub seeds: Vec<SocketAddr>,
    /// `interface`.
    pub interface: Option<String>,
    /// `zone`.
    pub zone: Option<ZoneName>,
    /// `timing`.
    pub timing: Option<TimingProfile>,
}

/// Whose work an `agent.toml` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileOrigin {
    /// It sets nothing: the package's template, or another file of comments.
    SetsNothing,
    /// `configure` has written it, and nobody has edited it since.
    Configure,
    /// A person's, or another program's.
    Edited,
}

impl AgentFile {
    /// The file.
    pub fn text(&self) -> String {
        let address = short(self.address);
        let (port, guard) = (self.address.port(), self.address.port().saturating_add(1));
        let roles: Vec<String> = self.roles.iter().map(|role| quoted(&role.to_string())).collect();
        let seeds: Vec<String> = self.seeds.iter().map(|seed| quoted(&short(*seed))).collect();
        let seeds = Some(format!("[{}]", seeds.join(", "))).filter(|_| !self.seeds.is_empty());
        let node = self.node.as_ref().map(|node| quoted(node.as_str()));
        let zone = self.zone.as_ref().map(|zone| quoted(zone.as_str()));
        let timing = self.timing.map(|timing| quoted(&timing.to_string()));
        let text = [
            "# This node's configuration, written by `lvs-agent configure`. agent.toml(5) has all keys.\n\
             # Edit it as you like, then `systemctl restart lvs-agent`. `configure` refuses to replace an edited file without --force.\n"
                .to_owned(),
            key("What this node does: any of \"director\", \"real-server\", \"witness\".", "roles", &format!("[{}]", roles.join(", "))),
            key(
                &format!("Where the other nodes reach it: port {port} (UDP and TCP), and {guard} (UDP)."),
                "address",
                &quoted(&address),
            ),
            key_or("Its name, unique in the cluster. Default: the host name up to its first dot.", "node", node, "\"d1\""),
            key_or("Members that `lvs-agent join` asks when none is named.", "seeds", seeds, "[\"10.0.0.11\"]"),
            key_or(
                "On a director: what the interface of the VIPs is called here, where the cluster file calls it otherwise.",
                "interface",
                self.interface.as_deref().map(quoted),
                "\"eth0\"",
            ),
            key_or("What fails together with this node: a rack, a room, a power feed.", "zone", zone, "\"rack-1\""),
            key_or("The cluster's timing, on the node that runs `lvs-agent init`: fast, lan or wan.", "timing", timing, "\"lan\""),
        ];
        let text = text.join("\n");
        format!("{text}\n{CHECKSUM}{}: shows `lvs-agent configure` whether this file was edited\n", checksum(&text))
    }

    /// Whether `config` says all of this already. What is left to a default here may be set there.
    pub fn is_said_by(&self, config: &AgentConfig) -> bool {
        self.roles == config.roles
            && self.address == config.address
            && self.node.as_ref().is_none_or(|node| *node == config.node)
            && (self.seeds.is_empty() || self.seeds == config.seeds)
            && (self.interface.is_none() || self.interface == config.interface)
            && (self.zone.is_none() || self.zone == config.zone)
            && self.timing.is_none_or(|timing| timing == config.timing)
    }
}

impl FileOrigin {
    /// Whose work the file with this text is.
    pub fn of(text: &str) -> Self {
        match keys(text) {
            Some(keys) if keys.is_empty() => FileOrigin::SetsNothing,
            Some(_) if has_its_checksum(text) => FileOrigin::Configure,
            Some(_) | None => FileOrigin::Edited,
        }
    }
}

/// The keys and tables that a file sets; `None` where it is not TOML.
pub fn keys(text: &str) -> Option<BTreeSet<String>> {
    let document = DeTable::parse(text).ok()?;
    Some(document.get_ref().iter().map(|(key, _)| key.get_ref().to_string()).collect())
}

fn has_its_checksum(text: &str) -> bool {
    let Some(at) = text.rfind(CHECKSUM).filter(|at| text[..*at].ends_with('\n')) else { return false };
    let (before, line) = text.split_at(at);
    let line = &line[CHECKSUM.len()..];
    // What `join` has put between the text and this line is not summed.
    let summed = &before[..before.len() - 1];
    line.split_once(':').is_some_and(|(sum, _)| sum == checksum(summed)) && line.trim_end_matches('\n').lines().count() == 1
}

fn checksum(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    HEXLOWER.encode(&digest.as_ref()[..CHECKSUM_BYTES])
}

fn key(comment: &str, name: &str, value: &str) -> String {
    format!("# {comment}\n{name} = {value}\n")
}

/// A key that was not given stands there with an example, commented out.
fn key_or(comment: &str, name: &str, value: Option<String>, example: &str) -> String {
    match value {
        Some(value) => key(comment, name, &value),
        None => format!("# {comment}\n#{name} = {example}\n"),
    }
}

/// The address, without its port where that is the default.
pub fn short(address: SocketAddr) -> String {
    if address.port() == DEFAULT_PORT { address.ip().to_string() } else { address.to_string() }
}

#[cfg(test)]
mod tests;
