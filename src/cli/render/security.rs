//! Shows tokens and the commands to join with, members, remote identities.

use super::{
    WIDTH,
    grid::{Cell, Grid, Row},
    text::{Palette, Tone, clean, date, day, wrap},
};
use crate::{
    api::{
        IdentityStatus, InitAnswer, Status, TokenMade, TokenStatus,
        status::{ClusterStatus, NodeStatus},
    },
    config::value::DEFAULT_PORT,
    model::{Access, Role, Roles},
};
use std::net::SocketAddr;

/// What a new cluster's founder does next.
pub(in crate::cli) fn founded(made: &InitAnswer) -> String {
    let InitAnswer { membership, seed, token } = made;
    let head = format!("cluster {} is made; {} is its first member\n", membership.cluster_id, membership.node);
    match token {
        Some(made) => format!("{head}\nNext, on every other node:\n{}", invitation(made, &[*seed])),
        None => format!(
            "{head}\nNext, on every other node, with a certificate of your own ca in its agent.toml:\n  lvs-agent join {}\n",
            seeds(&[*seed])
        ),
    }
}

/// A token that was just made.
pub(in crate::cli) fn token(made: &TokenMade, members: &[SocketAddr]) -> String {
    let whom = if made.status.uses_left == 1 { "the new node" } else { "each new node" };
    format!("Run this on {whom}:\n{}", invitation(made, members))
}

fn invitation(made: &TokenMade, members: &[SocketAddr]) -> String {
    let TokenMade { token, status } = made;
    let TokenStatus { id, roles, uses_left, expires_unix_s, made_by: _ } = status;
    let nodes = match uses_left {
        1 => "one node".to_owned(),
        several => format!("up to {several} nodes"),
    };
    format!(
        "  lvs-agent join {} --token {}\n\n\
         The token lets in {nodes}, {}, until {}.\n\
         Whoever has it can join: hand it on like a password.\n\
         To take it back: lvs-agent token revoke {id}\n",
        seeds(members),
        token.as_str(),
        allowed(roles),
        date(*expires_unix_s)
    )
}

fn seeds(members: &[SocketAddr]) -> String {
    let short = |member: &SocketAddr| if member.port() == DEFAULT_PORT { member.ip().to_string() } else { member.to_string() };
    match members {
        [] => "SEED".to_owned(),
        some => some.iter().map(short).collect::<Vec<_>>().join(","),
    }
}

fn allowed(roles: &Roles) -> String {
    match Role::ALL.iter().all(|role| roles.has(*role)) {
        true => "of any role".to_owned(),
        false => format!("as {}", roles.iter().map(|role| role.to_string()).collect::<Vec<_>>().join(" or ")),
    }
}

/// A table of tokens; empty without any.
pub(in crate::cli) fn tokens(tokens: &[TokenStatus], palette: Palette) -> String {
    let cells = |token: &TokenStatus| -> Vec<Cell> {
        let TokenStatus { id, roles, uses_left, expires_unix_s, made_by } = token;
        vec![
            id.to_string().into(),
            roles.to_string().into(),
            uses_left.to_string().into(),
            date(*expires_unix_s).into(),
            made_by.to_string().into(),
        ]
    };
    table(vec!["TOKEN", "ROLES", "USES LEFT", "UNTIL", "MADE BY"], tokens.iter().map(cells), palette)
}

/// A table of remote identities; empty without any.
pub(in crate::cli) fn identities(identities: &[IdentityStatus], palette: Palette) -> String {
    let cells = |identity: &IdentityStatus| -> Vec<Cell> {
        let IdentityStatus { name, access, certificate, expires_unix_s } = identity;
        let tone = if *access == Access::Admin { Tone::Warn } else { Tone::Plain };
        vec![
            name.to_string().into(),
            Cell::new(tone, access.to_string()),
            date(*expires_unix_s).into(),
            certificate.to_string().into(),
        ]
    };
    table(vec!["IDENTITY", "ACCESS", "UNTIL", "CERTIFICATE"], identities.iter().map(cells), palette)
}

/// An identity that was just made.
pub(in crate::cli) fn identity(identity: &IdentityStatus, file: &str) -> String {
    let IdentityStatus { name, access, certificate: _, expires_unix_s } = identity;
    let may = match access {
        Access::ReadOnly => "look at this cluster",
        Access::Admin => "administer this cluster",
    };
    format!(
        "{name} may {may} from afar until {}\n\
         its key, its certificate and the cluster's ca are in {file}, for your eyes only; use it so:\n  \
         lvs-agent --server HOST:PORT --cert {file} status\n",
        date(*expires_unix_s)
    )
}

/// A table of members, and why each votes or does not; empty outside a cluster.
pub(in crate::cli) fn nodes(status: &Status, palette: Palette) -> String {
    let Some(cluster) = &status.cluster else { return String::new() };
    let headers = vec!["NODE", "ROLES", "ADDRESS", "ZONE", "STATE", "VOTES", "VERSION", "CERTIFICATE"];
    let rows = status.nodes.iter().map(|node| Row { cells: node_cells(node, cluster), notes: node_notes(node) });
    shown(Grid { headers, rows: rows.collect() }, palette)
}

/// The barred names, in one paragraph; empty when there are none.
pub(in crate::cli) fn barred(status: &Status) -> String {
    let names = status.cluster.iter().flat_map(|cluster| &cluster.security.barred);
    let names: Vec<String> = names.map(ToString::to_string).collect();
    if names.is_empty() {
        return String::new();
    }
    let text = format!("removed, and kept out until `lvs-agent node allow NAME`: {}", names.join(", "));
    wrap(&text, WIDTH).iter().map(|line| format!("{line}\n")).collect()
}

fn node_cells(node: &NodeStatus, cluster: &ClusterStatus) -> Vec<Cell> {
    let state = if node.reachable { Cell::new(Tone::Good, "reachable") } else { Cell::new(Tone::Bad, "not heard") };
    let votes = match (cluster.leader.as_ref() == Some(&node.name), node.voter) {
        (true, _) => "leads",
        (false, true) => "yes",
        (false, false) => "no",
    };
    vec![
        node.name.to_string().into(),
        node.roles.to_string().into(),
        node.address.to_string().into(),
        node.zone.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string).into(),
        state,
        votes.into(),
        node.version.as_deref().map_or_else(|| "?".to_owned(), clean).into(),
        node.certificate_expires_unix_s.map_or_else(|| "?".to_owned(), day).into(),
    ]
}

fn node_notes(node: &NodeStatus) -> Vec<Cell> {
    let why = clean(&node.voter_why);
    if why.is_empty() { Vec::new() } else { vec![Cell::new(Tone::Faint, why)] }
}

fn table(headers: Vec<&'static str>, rows: impl Iterator<Item = Vec<Cell>>, palette: Palette) -> String {
    let rows: Vec<Row> = rows.map(|cells| Row { cells, notes: Vec::new() }).collect();
    if rows.is_empty() { String::new() } else { shown(Grid { headers, rows }, palette) }
}

fn shown(grid: Grid, palette: Palette) -> String {
    grid.lines(0, WIDTH, palette).iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests;
