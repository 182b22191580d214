//! The cluster file: VIP groups, services, servers and checks, as a [`RuleSet`].

mod check;
mod cross;
mod draft;
mod read;

use super::{
    document::{self, Table},
    problem::{Findings, Problems},
};
use crate::rules::RuleSet;

pub(super) mod defaults {
    //! What a check has where the file does not say; the export leaves these out.
    pub(in crate::config) use super::check::{DEFAULT_COUNT, DEFAULT_STATUS, default_timeout};
}

/// Longest cluster file.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Most VIP groups of a cluster: each has a lease of its own, renewed several times a second.
pub const MAX_VIPS: usize = 1024;
/// Most addresses of one VIP group.
pub const MAX_ADDRESSES: usize = 64;
/// Most services of a cluster.
pub const MAX_SERVICES: usize = 4096;
/// Most servers of all services together.
pub const MAX_SERVERS: usize = 16384;

/// Reads a cluster file's text. `file` is its name in messages.
///
/// # Errors
/// Everything that is wrong with it, in the file's order.
pub fn parse(file: &str, text: &str) -> Result<RuleSet, Problems> {
    let mut findings = Findings::new(file, text);
    let rules = if text.len() > MAX_FILE_BYTES {
        findings.add(0, format!("the file has {} bytes: {MAX_FILE_BYTES} at most", text.len()));
        None
    } else {
        document::parse(text, &mut findings).and_then(|document| {
            let draft = read::cluster(Table::root(&document, "a cluster file"), &mut findings);
            cross::check(&draft, &mut findings);
            draft.into_rules()
        })
    };
    match (findings.into_problems(), rules) {
        (Some(problems), _) => Err(problems),
        (None, rules) => Ok(rules.expect("a part is only missing when a finding says so")),
    }
}

#[cfg(test)]
mod tests;
