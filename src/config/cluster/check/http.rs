//! The keys of `[service.check]` that are for checks of type "http".

use crate::{
    config::{
        document::{At, Decoded, List, Table, clip, integer, parsed, text},
        problem::ProblemCollector,
    },
    model::{CheckKind, StatusRange},
};
use std::ops::RangeInclusive;
use toml::de::DeValue;

/// What an HTTP check accepts where `status` is not given.
pub(in crate::config) const DEFAULT_STATUS: [StatusRange; 1] = [StatusRange { first: 200, last: 299 }];

const STATUS_CODES: RangeInclusive<u16> = 100..=599;
const MAX_STATUS_RANGES: usize = 32;
const MAX_PATH_BYTES: usize = 1024;
const MAX_HOST_BYTES: usize = 253;

/// What is written there.
pub(super) struct HttpKeys {
    path: Option<At<String>>,
    host: Option<At<String>>,
    status: Option<List<StatusRange>>,
}

impl HttpKeys {
    pub(super) fn read(table: &mut Table<'_>, findings: &mut ProblemCollector<'_>) -> Self {
        Self {
            path: table.optional("path", text(path), findings),
            host: table.optional("host", text(host), findings),
            status: table.list("status", status_range, findings),
        }
    }

    /// The keys that are there, and where.
    pub(super) fn given(&self) -> Vec<(&'static str, usize)> {
        let path = self.path.as_ref().map(|path| ("path", path.at));
        let host = self.host.as_ref().map(|host| ("host", host.at));
        let status = self.status.as_ref().map(|status| ("status", status.at));
        [path, host, status].into_iter().flatten().collect()
    }

    pub(super) fn kind(self, findings: &mut ProblemCollector<'_>) -> CheckKind {
        CheckKind::Http {
            path: self.path.map_or_else(|| "/".to_owned(), |path| path.value),
            host: self.host.map(|host| host.value),
            status: accepted(self.status, findings),
        }
    }
}

fn accepted(listed: Option<List<StatusRange>>, findings: &mut ProblemCollector<'_>) -> Vec<StatusRange> {
    let Some(listed) = listed else { return DEFAULT_STATUS.to_vec() };
    if listed.is_empty {
        findings.add(listed.at, "`status`: an empty list accepts no answer at all");
    }
    if listed.items.len() > MAX_STATUS_RANGES {
        findings.add(listed.at, format!("`status`: at most {MAX_STATUS_RANGES} entries"));
    }
    listed.items.into_iter().map(|range| range.value).collect()
}

fn path(text: &str) -> Decoded<String> {
    if text.starts_with('/') && text.len() <= MAX_PATH_BYTES && text.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not a path: begin it with `/`, percent-encode spaces and non-ASCII characters, at most {MAX_PATH_BYTES} bytes",
        clip(text)
    ))
}

fn host(text: &str) -> Decoded<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    if !text.is_empty() && text.len() <= MAX_HOST_BYTES && text.chars().all(legal) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not a host name for the Host header", clip(text)))
}

fn status_range(value: &DeValue<'_>) -> Decoded<StatusRange> {
    let bad = |what: &str| format!("{what} is no status: write codes from 100 to 599 as 200 or \"200-299\"");
    let range = match value {
        DeValue::Integer(_) => {
            let code = integer::<u16>(0..=65535)(value)?;
            StatusRange { first: code, last: code }
        }
        _ => {
            let words: String = parsed(value)?;
            let (first, last) = words.split_once('-').unwrap_or((&words, &words));
            let code = |text: &str| text.trim().parse::<u16>().map_err(|_| bad(&format!("`{}`", clip(&words))));
            StatusRange { first: code(first)?, last: code(last)? }
        }
    };
    let legal = STATUS_CODES.contains(&range.first) && STATUS_CODES.contains(&range.last) && range.first <= range.last;
    if legal { Ok(range) } else { Err(bad(&range.to_string())) }
}
