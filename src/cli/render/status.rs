//! Shows a status to a person.

use super::{
    WIDTH,
    grid::{Cell, Grid, Row, note_lines},
    text::{Palette, Tone, age, clean, columns, wrap},
};
use crate::{
    api::status::{
        ClusterStatus, NodeStatus, ObservationStatus, Pool, SecurityStatus, ServerStatus, ServiceStatus, Status, VerdictStatus,
        VipMode, VipStatus, VoteStatus,
    },
    model::NodeName,
};

const INDENT: usize = 2;
/// Where the nodes' zones stand, where nodes have any.
const ZONE_COLUMN: usize = 3;
/// Votes up to this length stand in the server's line, longer ones below it.
const VOTES_COLUMN: usize = 46;
/// How many dissenting votes are spelt out per server; the JSON form has them all.
const SPELT_OUT: usize = 5;

/// The status as text.
pub(in crate::cli) fn status(status: &Status, palette: Palette) -> String {
    let mut lines = headline(status, palette);
    section(&mut lines, "NODES", nodes(status, palette), palette);
    section(&mut lines, "VIPS", vips(&status.vips, palette), palette);
    for service in &status.services {
        lines.push(String::new());
        lines.extend(service_lines(service, status, palette));
    }
    section(&mut lines, "NOT OURS (in this node's kernel, left alone)", texts(&status.foreign, Tone::Plain, palette), palette);
    section(&mut lines, "PROBLEMS", texts(&status.problems, Tone::Bad, palette), palette);
    lines.push(String::new());
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, title: &str, body: Vec<String>, palette: Palette) {
    if !body.is_empty() {
        lines.push(String::new());
        lines.push(palette.paint(Tone::Strong, title));
        lines.extend(body);
    }
}

fn texts(texts: &[String], tone: Tone, palette: Palette) -> Vec<String> {
    texts.iter().flat_map(|text| note_lines(&Cell::new(tone, clean(text)), INDENT, WIDTH, palette)).collect()
}

fn headline(status: &Status, palette: Palette) -> Vec<String> {
    let seen_from = format!("as {} knows it, lvs-agent {}", status.this, clean(&status.version));
    let Some(cluster) = &status.cluster else {
        let what = if status.not_started.is_some() { "NOT STARTED" } else { "no cluster" };
        return wrap(&format!("{what}, {seen_from}"), WIDTH);
    };
    let ClusterStatus { id, revision, leader, term, voters: _, quorum, security } = cluster;
    let leader = leader.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let first = wrap(&format!("CLUSTER {}, revision {revision}, leader {leader}, term {term}", clean(id)), WIDTH);
    let mut lines: Vec<String> = first.iter().map(|line| palette.paint(Tone::Strong, line)).collect();
    lines.push(match quorum {
        true => palette.paint(Tone::Good, "quorum: yes"),
        false => palette.paint(Tone::Bad, "NO QUORUM: rules and verdicts are frozen, forwarding goes on"),
    });
    lines.extend(wrap(&format!("voters {}", voters(cluster, &status.nodes)), WIDTH));
    lines.extend(keys(security).iter().flat_map(|line| wrap(line, WIDTH)));
    if let Some(rotating) = &security.rotating {
        let text = wrap(&format!("replacing: {}", clean(rotating)), WIDTH);
        lines.extend(text.iter().map(|line| palette.paint(Tone::Warn, line)));
    }
    lines.extend(wrap(&seen_from, WIDTH));
    lines.extend(status.no_fence.iter().flat_map(|why| wrap(&format!("no fence in this kernel: {}", clean(why)), WIDTH)));
    lines
}

/// The voters, and why they vote.
fn voters(cluster: &ClusterStatus, nodes: &[NodeStatus]) -> String {
    let why = |voter: &NodeName| nodes.iter().find(|node| node.name == *voter).map(|node| clean(&node.voter_why));
    let word = |voter: &NodeName| match why(voter).filter(|why| !why.is_empty()) {
        Some(why) => format!("{voter} ({})", why.strip_prefix("votes: ").unwrap_or(&why)),
        None => voter.to_string(),
    };
    cluster.voters.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The gossip key and the CA in use, where there are any.
fn keys(security: &SecurityStatus) -> Option<String> {
    let SecurityStatus { authority, other_authorities, key, other_keys, rotating: _, barred: _ } = security;
    let key = key.as_ref()?;
    let others = |others: String| if others.is_empty() { others } else { format!(" (also {others})") };
    let authority = match authority {
        Some(ca) => format!("ca {ca}{}", others(joined(other_authorities))),
        None => "certificates from your own ca".to_owned(),
    };
    Some(format!("gossip key {key}{}, {authority}", others(joined(other_keys))))
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn nodes(status: &Status, palette: Palette) -> Vec<String> {
    let Some(cluster) = &status.cluster else { return Vec::new() };
    let zones = status.nodes.iter().any(|node| node.zone.is_some());
    let rows = status.nodes.iter().map(|node| Row { cells: node_cells(node, cluster, zones), notes: Vec::new() }).collect();
    let mut headers = vec!["NODE", "ROLES", "ADDRESS", "STATE", "RAFT", "RULES", "VERSION"];
    if zones {
        headers.insert(ZONE_COLUMN, "ZONE");
    }
    Grid { headers, rows }.lines(INDENT, WIDTH, palette)
}

fn node_cells(node: &NodeStatus, cluster: &ClusterStatus, zones: bool) -> Vec<Cell> {
    let state = match (node.reachable, node.withdrawn) {
        (true, false) => Cell::new(Tone::Good, "reachable"),
        (true, true) => Cell::new(Tone::Warn, "withdrawn"),
        (false, _) => Cell::new(Tone::Bad, "not heard"),
    };
    let raft = match (cluster.leader.as_ref() == Some(&node.name), node.voter) {
        (true, _) => "leader",
        (false, true) => "voter",
        (false, false) => "follows",
    };
    let rules = if node.revision < cluster.revision { Tone::Warn } else { Tone::Plain };
    let mut cells = vec![
        node.name.to_string().into(),
        node.roles.to_string().into(),
        node.address.to_string().into(),
        state,
        raft.into(),
        Cell::new(rules, node.revision.to_string()),
        node.version.as_deref().map_or_else(|| "?".to_owned(), clean).into(),
    ];
    if zones {
        cells.insert(ZONE_COLUMN, node.zone.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string).into());
    }
    cells
}

fn vips(vips: &[VipStatus], palette: Palette) -> Vec<String> {
    if vips.is_empty() {
        return Vec::new();
    }
    let rows = vips.iter().map(|vip| Row { cells: vip_cells(vip), notes: vip_notes(vip) }).collect();
    Grid { headers: vec!["VIP", "HOLDER", "EPOCH", "HELD FOR", "INTERFACE", "ADDRESSES"], rows }.lines(INDENT, WIDTH, palette)
}

fn vip_cells(vip: &VipStatus) -> Vec<Cell> {
    let holder = match &vip.holder {
        Some(holder) => Cell::new(Tone::Good, holder.to_string()),
        None => Cell::new(Tone::Bad, "nobody"),
    };
    let number = |number: Option<u64>, show: fn(u64) -> String| number.map_or_else(|| "-".to_owned(), show);
    vec![
        vip.name.to_string().into(),
        holder,
        number(vip.epoch, |epoch| epoch.to_string()).into(),
        number(vip.held_ms, age).into(),
        clean(&vip.interface).into(),
        joined(&vip.addresses).into(),
    ]
}

fn vip_notes(vip: &VipStatus) -> Vec<Cell> {
    let mut notes = Vec::new();
    if let Some(why) = vip.why_unheld.as_ref().filter(|_| vip.holder.is_none()) {
        notes.push(Cell::new(Tone::Bad, format!("nobody: {}", clean(why))));
    }
    if vip.mode == VipMode::Fallback {
        notes.push(Cell::new(Tone::Bad, "held by fallback, without a majority of the voters"));
    }
    if vip.holders.len() > 1 {
        notes.push(Cell::new(Tone::Bad, format!("several nodes say that they hold it: {}", joined(&vip.holders))));
    }
    notes.extend(vip.less_fit.iter().map(|less| {
        Cell::new(Tone::Warn, format!("{} is less fit to hold it ({} of 1000): {}", less.node, less.fitness, clean(&less.why)))
    }));
    if !vip.in_place.is_empty() {
        notes.push(Cell::new(Tone::Faint, format!("in place on {}", joined(&vip.in_place))));
    }
    let missing = vip.missing.iter();
    notes.extend(
        missing.map(|missing| Cell::new(Tone::Warn, format!("not in place on {}: {}", missing.node, clean(&missing.why)))),
    );
    notes
}

fn service_lines(service: &ServiceStatus, status: &Status, palette: Palette) -> Vec<String> {
    let ServiceStatus { name, vip, protocol, port, scheduler, forward, check, servers } = service;
    let group = status.vips.iter().find(|group| group.name == *vip);
    let addresses = group.map_or_else(String::new, |group| format!(" ({})", joined(&group.addresses)));
    let what = format!("SERVICE {name}: {protocol} port {port} on {vip}{addresses}, {scheduler}, {forward}");
    let mut lines: Vec<String> = wrap(&what, WIDTH).iter().map(|line| palette.paint(Tone::Strong, line)).collect();
    let check = check
        .as_ref()
        .map_or_else(|| "no check: every server is taken as healthy".to_owned(), |check| format!("check {}", clean(check)));
    lines.extend(note_lines(&Cell::new(Tone::Faint, check), INDENT, WIDTH, palette));
    let beside = servers.iter().all(|server| columns(&votes(server)) <= VOTES_COLUMN);
    let mut headers = vec!["SERVER", "ADDRESS", "WEIGHT", "STATE", "VERDICT", "VIP"];
    if beside && service.check.is_some() {
        headers.push("VOTES");
    }
    let rows =
        servers.iter().map(|server| Row { cells: server_cells(server, beside), notes: server_notes(server, beside, status) });
    lines.extend(Grid { headers, rows: rows.collect() }.lines(INDENT, WIDTH, palette));
    lines
}

fn server_cells(server: &ServerStatus, beside: bool) -> Vec<Cell> {
    let state = match server.state {
        Pool::In => Cell::new(Tone::Good, "in"),
        Pool::Out => Cell::new(Tone::Bad, "out"),
    };
    let verdict = match server.verdict {
        VerdictStatus::Up => Cell::new(Tone::Good, "up"),
        VerdictStatus::Down => Cell::new(Tone::Bad, "down"),
        VerdictStatus::Undecided => Cell::new(Tone::Warn, "undecided"),
        VerdictStatus::Unchecked => "unchecked".into(),
    };
    let vip = match (server.agentless, server.in_place) {
        (true, _) => Cell::new(Tone::Faint, "agentless"),
        (false, true) => "in place".into(),
        (false, false) => Cell::new(Tone::Warn, "missing"),
    };
    let mut cells = vec![
        server.name.to_string().into(),
        server.address.to_string().into(),
        server.weight.to_string().into(),
        state,
        verdict,
        vip,
    ];
    if beside {
        cells.push(votes(server).into());
    }
    cells
}

fn votes(server: &ServerStatus) -> String {
    let word = |vote: &VoteStatus| format!("{} {}{}", vote.observer, seen(vote.state), if vote.fresh { "" } else { " (stale)" });
    server.votes.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn seen(seen: ObservationStatus) -> &'static str {
    match seen {
        ObservationStatus::Up => "up",
        ObservationStatus::Suspect => "suspect",
        ObservationStatus::Down => "down",
        ObservationStatus::Unknown => "unknown",
        ObservationStatus::Unable => "unable",
    }
}

/// The notes on a server that is not simply in and up.
fn server_notes(server: &ServerStatus, beside: bool, status: &Status) -> Vec<Cell> {
    let mut notes = Vec::new();
    if !beside && !server.votes.is_empty() {
        notes.push(format!("votes: {}", votes(server)).into());
    }
    if server.state == Pool::Out || server.verdict == VerdictStatus::Down {
        notes.push(Cell::new(
            Tone::Warn,
            format!("{}: {}", if server.state == Pool::Out { "out" } else { "in" }, clean(&server.why)),
        ));
    }
    let differing =
        server.local.as_ref().filter(|local| local.state == ObservationStatus::Down && server.verdict != VerdictStatus::Down);
    if let Some(local) = differing {
        notes.push(Cell::new(Tone::Warn, format!("{} itself does not reach it: {}", status.this, clean(&local.reason))));
    }
    // Its own vote says the same once more.
    notes.extend(dissent(server, differing.map(|_| &status.this)));
    notes
}

fn dissent(server: &ServerStatus, said: Option<&NodeName>) -> Vec<Cell> {
    let against: Vec<&VoteStatus> = server
        .votes
        .iter()
        .filter(|vote| {
            matches!(vote.state, ObservationStatus::Down | ObservationStatus::Suspect | ObservationStatus::Unable)
                && Some(&vote.observer) != said
        })
        .collect();
    let spell = |vote: &&VoteStatus| {
        let since = vote.age_ms.map_or_else(String::new, |ms| format!(" for {}", age(ms)));
        let says = if vote.state == ObservationStatus::Unable { "cannot ask" } else { &format!("says {}", seen(vote.state)) };
        Cell::new(Tone::Faint, format!("{} {says}{since}: {}", vote.observer, clean(&vote.reason)))
    };
    let mut notes: Vec<Cell> = against.iter().take(SPELT_OUT).map(spell).collect();
    if against.len() > SPELT_OUT {
        notes.push(Cell::new(Tone::Faint, format!("… and {} more say so", against.len() - SPELT_OUT)));
    }
    notes
}

#[cfg(test)]
mod tests;
