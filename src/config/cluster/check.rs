//! Reads `[service.check]`: what is asked, how often, and how many answers count.

use super::places::{HOMES, PORTS};
use crate::{
    config::{
        document::{At, Decoded, List, Table, clip, integer, parsed, text},
        problem::Findings,
        value,
    },
    model::{
        Check, CheckKind, DurationText, ScriptName, StatusRange,
        check::{MAX_ARG_BYTES, MAX_ARGS, is_script_arg},
    },
};
use std::{fmt, ops::RangeInclusive, time::Duration};
use toml::de::DeValue;

/// What an HTTP check accepts where `status` is not given.
pub(in crate::config) const DEFAULT_STATUS: [StatusRange; 1] = [StatusRange { first: 200, last: 299 }];
/// Time between probes where `interval` is not given.
pub(in crate::config) const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// `fall` and `rise` where they are not given.
pub(in crate::config) const DEFAULT_COUNT: u8 = 2;

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const COUNTS: RangeInclusive<i64> = 1..=10;
const STATUS_CODES: RangeInclusive<u16> = 100..=599;
const MAX_STATUS_RANGES: usize = 32;
const MAX_PATH_BYTES: usize = 1024;
const MAX_HOST_BYTES: usize = 253;

/// `timeout` where it is not given: half a second, but never longer than the interval.
pub(in crate::config) fn default_timeout(interval: Duration) -> Duration {
    interval.min(Duration::from_millis(500))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Script,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Tcp => "tcp",
            Kind::Http => "http",
            Kind::Script => "script",
        })
    }
}

/// Reads the table; `None` where something in it is wrong.
pub(super) fn read(mut table: Table<'_>, findings: &mut Findings<'_>) -> Option<Check> {
    let kind = table.required("type", text(kind), findings);
    let path = table.optional("path", text(path), findings);
    let host = table.optional("host", text(host), findings);
    let status = table.list("status", status_range, findings);
    let script = table.optional("script", parsed::<ScriptName>, findings);
    let args = table.list("args", text(arg), findings);
    let port = table.optional("port", integer(PORTS), findings);
    let interval = table.with_default("interval", text(value::duration(INTERVALS)), DEFAULT_INTERVAL, findings);
    let timeout = table.optional("timeout", text(value::duration(TIMEOUTS)), findings);
    let fall = table.with_default("fall", integer(COUNTS), DEFAULT_COUNT, findings);
    let rise = table.with_default("rise", integer(COUNTS), DEFAULT_COUNT, findings);
    let special = [
        ("path", Kind::Http, path.as_ref().map(place)),
        ("host", Kind::Http, host.as_ref().map(place)),
        ("status", Kind::Http, status.as_ref().map(|list| list.at)),
        ("script", Kind::Script, script.as_ref().map(place)),
        ("args", Kind::Script, args.as_ref().map(|list| list.at)),
    ];
    if let Some(kind) = kind {
        for (key, of, at) in special.into_iter().filter(|(_, of, _)| *of != kind.value) {
            at.into_iter().for_each(|at| {
                findings.add(at, format!("`{key}` is for checks of type \"{of}\"; this one is \"{kind}\"", kind = kind.value))
            });
        }
        if kind.value == Kind::Script && !table.has("script") {
            findings.add(table.at, "[service.check] of type \"script\" needs `script`");
        }
    }
    table.finish_knowing(&HOMES, findings);

    let (status, args) = (accepted(status, findings), args_of(args, findings));
    let (interval, timeout) = (interval?, within(interval?, timeout, findings));
    let kind = match kind?.value {
        Kind::Tcp => CheckKind::Tcp,
        Kind::Http => CheckKind::Http {
            path: path.map_or_else(|| "/".to_owned(), |path| path.value),
            host: host.map(|host| host.value),
            status,
        },
        Kind::Script => CheckKind::Script { script: script?.value, args },
    };
    Some(Check { kind, port: port.map(|port| port.value), interval, timeout, fall: fall?, rise: rise? })
}

fn place<T>(value: &At<T>) -> usize {
    value.at
}

/// Probes of one observer must not overlap.
fn within(interval: Duration, timeout: Option<At<Duration>>, findings: &mut Findings<'_>) -> Duration {
    let Some(timeout) = timeout else { return default_timeout(interval) };
    if timeout.value > interval {
        let (timeout_text, interval) = (DurationText(timeout.value), DurationText(interval));
        findings.add(timeout.at, format!("`timeout`: {timeout_text} is longer than the interval of {interval}"));
    }
    timeout.value
}

fn accepted(listed: Option<List<StatusRange>>, findings: &mut Findings<'_>) -> Vec<StatusRange> {
    let Some(listed) = listed else { return DEFAULT_STATUS.to_vec() };
    if listed.is_empty {
        findings.add(listed.at, "`status`: an empty list accepts no answer at all");
    }
    if listed.items.len() > MAX_STATUS_RANGES {
        findings.add(listed.at, format!("`status`: at most {MAX_STATUS_RANGES} entries"));
    }
    listed.items.into_iter().map(|range| range.value).collect()
}

fn args_of(listed: Option<List<String>>, findings: &mut Findings<'_>) -> Vec<String> {
    let Some(listed) = listed else { return Vec::new() };
    if listed.items.len() > MAX_ARGS {
        findings.add(listed.at, format!("`args`: at most {MAX_ARGS}"));
    }
    listed.items.into_iter().map(|arg| arg.value).collect()
}

fn arg(text: &str) -> Decoded<String> {
    if is_script_arg(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not an argument: at most {MAX_ARG_BYTES} bytes, no control characters",
        clip(&text.escape_debug().to_string())
    ))
}

fn kind(text: &str) -> Decoded<Kind> {
    match text {
        "tcp" => Ok(Kind::Tcp),
        "http" => Ok(Kind::Http),
        "script" => Ok(Kind::Script),
        other => Err(format!("`{}` is not a type of check: use tcp, http or script", clip(other))),
    }
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
