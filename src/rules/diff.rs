//! The differences between two rule sets, for `lvs-agent plan`.

use super::state::RuleSet;
use crate::model::{OnQuorumLoss, RealServer, Service, VipGroup};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// One line of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Difference {
    /// Only in the new rules.
    Add {
        /// For example `service http`.
        what: String,
        /// Its properties in one line.
        details: String,
    },
    /// Only in the old rules.
    Remove {
        /// For example `server http/r1`.
        what: String,
    },
    /// In both, but different.
    Change {
        /// What it is.
        what: String,
        /// Its properties before.
        from: String,
        /// And after.
        to: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Add { what, details } => write!(f, "+ {what}: {details}"),
            Difference::Remove { what } => write!(f, "- {what}"),
            Difference::Change { what, from, to } => write!(f, "~ {what}: {from} -> {to}"),
        }
    }
}

/// The differences that lead from `old` to `new`: VIP groups, services, then servers. Empty exactly when they are equal.
pub fn diff(old: &RuleSet, new: &RuleSet) -> Vec<Difference> {
    let vips = |rules: &RuleSet| rules.vips.values().map(|v| (format!("vip {}", v.name), vip_line(v))).collect();
    let services = |rules: &RuleSet| rules.services.values().map(|s| (format!("service {}", s.name), service_line(s))).collect();
    let servers = |rules: &RuleSet| rules.targets().map(|(t, _, server)| (format!("server {t}"), server_line(server))).collect();
    let mut lines = lines(&vips(old), &vips(new));
    lines.extend(self::lines(&services(old), &services(new)));
    lines.extend(self::lines(&servers(old), &servers(new)));
    lines
}

fn lines(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Difference> {
    let removed = old.keys().filter(|what| !new.contains_key(*what)).map(|what| Difference::Remove { what: what.clone() });
    let others = new.iter().filter_map(|(what, to)| match old.get(what) {
        None => Some(Difference::Add { what: what.clone(), details: to.clone() }),
        Some(from) if from != to => Some(Difference::Change { what: what.clone(), from: from.clone(), to: to.clone() }),
        Some(_) => None,
    });
    removed.chain(others).collect()
}

fn vip_line(vip: &VipGroup) -> String {
    let addresses: Vec<String> = vip.addresses.iter().map(ToString::to_string).collect();
    let without_quorum = match vip.on_quorum_loss {
        OnQuorumLoss::Fallback => "",
        OnQuorumLoss::Release => ", released without a majority",
    };
    format!("{} on {}{without_quorum}", addresses.join(", "), vip.interface)
}

fn service_line(service: &Service) -> String {
    let check = match &service.check {
        None => "no check".to_owned(),
        Some(check) => format!("check {check}"),
    };
    let Service { vip, protocol, port, scheduler, forward, .. } = service;
    format!("{protocol} port {port} on vip {vip}, {scheduler}, {forward}, {check}")
}

fn server_line(server: &RealServer) -> String {
    let agentless = if server.agentless { ", agentless" } else { "" };
    format!("{}:{} weight {}{agentless}", server.address, server.port, server.weight.0)
}

#[cfg(test)]
mod tests;
