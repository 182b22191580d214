//! Writes a rule set as a cluster file that reads back as the same rule set. Defaults that people rarely change are left out.

use super::cluster::defaults::{DEFAULT_COUNT, DEFAULT_STATUS, default_timeout};
use crate::{
    model::{Check, CheckKind, DurationText, ForwardMethod, OnQuorumLoss, Protocol, RealServer, Service, VipGroup},
    rules::RuleSet,
};
use std::fmt::{self, Write};

/// The rule set as text, groups and services by name.
pub fn to_toml(rules: &RuleSet) -> String {
    let mut text = String::new();
    let parts = rules.vips.values().map(vip_table).chain(rules.services.values().map(service_table));
    for part in parts {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&part.expect("writing to a string cannot fail"));
    }
    text
}

fn vip_table(vip: &VipGroup) -> Result<String, fmt::Error> {
    let addresses: Vec<String> = vip.addresses.iter().map(|address| quoted(&address.to_string())).collect();
    let mut out = String::new();
    writeln!(out, "[[vip]]")?;
    writeln!(out, "name = {}", quoted(vip.name.as_str()))?;
    writeln!(out, "addresses = [{}]", addresses.join(", "))?;
    writeln!(out, "interface = {}", quoted(&vip.interface))?;
    if vip.on_quorum_loss != OnQuorumLoss::default() {
        writeln!(out, "on_quorum_loss = {}", quoted(&vip.on_quorum_loss.to_string()))?;
    }
    Ok(out)
}

fn service_table(service: &Service) -> Result<String, fmt::Error> {
    let mut out = String::new();
    writeln!(out, "[[service]]")?;
    writeln!(out, "name = {}", quoted(service.name.as_str()))?;
    writeln!(out, "vip = {}", quoted(service.vip.as_str()))?;
    if service.protocol != Protocol::Tcp {
        writeln!(out, "protocol = {}", quoted(&service.protocol.to_string()))?;
    }
    writeln!(out, "port = {}", service.port)?;
    writeln!(out, "scheduler = {}", quoted(service.scheduler.as_str()))?;
    match service.forward {
        ForwardMethod::Dr => {}
    }
    if let Some(check) = &service.check {
        check_table(&mut out, check)?;
    }
    for server in service.servers.values() {
        server_table(&mut out, service, server)?;
    }
    Ok(out)
}

fn check_table(out: &mut String, check: &Check) -> fmt::Result {
    writeln!(out, "\n  [service.check]")?;
    match &check.kind {
        CheckKind::Tcp => writeln!(out, "  type = \"tcp\"")?,
        CheckKind::Http { path, host, status } => {
            writeln!(out, "  type = \"http\"")?;
            writeln!(out, "  path = {}", quoted(path))?;
            if let Some(host) = host {
                writeln!(out, "  host = {}", quoted(host))?;
            }
            if status[..] != DEFAULT_STATUS {
                let codes: Vec<String> = status
                    .iter()
                    .map(|range| if range.first == range.last { range.to_string() } else { quoted(&range.to_string()) })
                    .collect();
                writeln!(out, "  status = [{}]", codes.join(", "))?;
            }
        }
        CheckKind::Script { script, args } => {
            writeln!(out, "  type = \"script\"")?;
            writeln!(out, "  script = {}", quoted(script.as_str()))?;
            if !args.is_empty() {
                let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
                writeln!(out, "  args = [{}]", args.join(", "))?;
            }
        }
    }
    if let Some(port) = check.port {
        writeln!(out, "  port = {port}")?;
    }
    writeln!(out, "  interval = {}", quoted(&DurationText(check.interval).to_string()))?;
    if check.timeout != default_timeout(check.interval) {
        writeln!(out, "  timeout = {}", quoted(&DurationText(check.timeout).to_string()))?;
    }
    if check.fall != DEFAULT_COUNT {
        writeln!(out, "  fall = {}", check.fall)?;
    }
    if check.rise != DEFAULT_COUNT {
        writeln!(out, "  rise = {}", check.rise)?;
    }
    Ok(())
}

fn server_table(out: &mut String, service: &Service, server: &RealServer) -> fmt::Result {
    writeln!(out, "\n  [[service.server]]")?;
    writeln!(out, "  name = {}", quoted(server.name.as_str()))?;
    writeln!(out, "  address = {}", quoted(&server.address.to_string()))?;
    if server.port != service.port {
        writeln!(out, "  port = {}", server.port)?;
    }
    writeln!(out, "  weight = {}", server.weight.0)?;
    if server.agentless {
        writeln!(out, "  agentless = true")?;
    }
    Ok(())
}

/// A text as a TOML string, escaped where it must be.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests;
