//! The cluster file: VIP groups, services, servers and checks, as a [`RuleSet`].

mod check;
mod cross;
mod draft;
mod places;
mod read;

use super::{
    document::{self, Table},
    problem::{Findings, Problems},
};
use crate::rules::RuleSet;
use std::path::Path;

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
    } else if let Some(document) = document::parse(text, &mut findings) {
        let draft = read::cluster(Table::root(&document, "a cluster file"), &mut findings);
        cross::check(&draft, &mut findings);
        draft.into_rules()
    } else {
        if let Some(at) = json_begins(file, text) {
            // What is wrong with it as TOML is of no use to anybody.
            findings = Findings::new(file, text);
            findings.add(at, IS_JSON);
        }
        None
    };
    match (findings.into_problems(), rules) {
        (Some(problems), _) => Err(problems),
        (None, rules) => Ok(rules.expect("a part is only missing when a finding says so")),
    }
}

/// Reads a cluster file that is to become the cluster's rules. One without any rule would delete all: that is an error unless `prune` says that it
/// is meant.
///
/// # Errors
/// As [`parse`].
pub fn parse_to_apply(file: &str, text: &str, prune: bool) -> Result<RuleSet, Problems> {
    let rules = parse(file, text)?;
    if prune || rules != RuleSet::default() {
        return Ok(rules);
    }
    let mut findings = Findings::new(file, text);
    findings.add(0, IS_EMPTY);
    Err(findings.into_problems().expect("a finding was added"))
}

const IS_EMPTY: &str = "the file has no [[vip]], and applying it would delete all rules of the cluster: add one (`lvs-agent export` shows those that the cluster has), or say --prune if all shall go";

const IS_JSON: &str = "this is JSON, and a cluster file is TOML: `lvs-agent export` writes one";

/// Where a JSON document begins, in a text that is no TOML; `None` where the text is no JSON either.
fn json_begins(file: &str, text: &str) -> Option<usize> {
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let json = text.trim_start_matches(blank);
    let is_json = match json.strip_prefix('[') {
        Some(inner) => inner.trim_start().starts_with(['{', '"']),
        None => json.starts_with('{'),
    };
    let is_called_json = Path::new(file).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    (is_json || is_called_json).then(|| text.len() - json.len())
}

#[cfg(test)]
mod tests;
