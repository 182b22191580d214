//! Reads `[service.check]`: what is asked, how often, and how many answers count.

mod http;
mod script;

use super::places::{HOMES, PORTS};
use crate::{
    config::{
        document::{At, Decoded, Table, clip, integer, text},
        problem::ProblemCollector,
        value,
    },
    model::{Check, CheckKind, DurationText},
};
pub(in crate::config) use http::DEFAULT_STATUS;
use http::HttpKeys;
use script::ScriptKeys;
use std::{fmt, ops::RangeInclusive, time::Duration};

/// Time between probes where `interval` is not given.
pub(in crate::config) const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// `fall` and `rise` where they are not given.
pub(in crate::config) const DEFAULT_COUNT: u8 = 2;

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const COUNTS: RangeInclusive<i64> = 1..=10;
/// `timeout` where it is not given: half a second, but never longer than the interval.
pub(in crate::config) fn default_timeout(interval: Duration) -> Duration {
    interval.min(Duration::from_millis(500))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckType {
    Tcp,
    Http,
    Script,
}

impl fmt::Display for CheckType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckType::Tcp => "tcp",
            CheckType::Http => "http",
            CheckType::Script => "script",
        })
    }
}

/// Reads the table; `None` where something in it is wrong.
pub(super) fn read(mut table: Table<'_>, findings: &mut ProblemCollector<'_>) -> Option<Check> {
    let kind = table.required("type", text(kind), findings);
    let http = HttpKeys::read(&mut table, findings);
    let script = ScriptKeys::read(&mut table, findings);
    let port = table.optional("port", integer(PORTS), findings);
    let interval = table.with_default("interval", text(value::duration(INTERVALS)), DEFAULT_INTERVAL, findings);
    let timeout = table.optional("timeout", text(value::duration(TIMEOUTS)), findings);
    let fall = table.with_default("fall", integer(COUNTS), DEFAULT_COUNT, findings);
    let rise = table.with_default("rise", integer(COUNTS), DEFAULT_COUNT, findings);
    if let Some(kind) = &kind {
        let given = [(CheckType::Http, http.given()), (CheckType::Script, script.given())];
        for (of, keys) in given.into_iter().filter(|(of, _)| *of != kind.value) {
            for (key, at) in keys {
                findings.add(at, format!("`{key}` is for checks of type \"{of}\"; this one is \"{kind}\"", kind = kind.value));
            }
        }
    }
    let kind = match kind.map(|kind| kind.value) {
        Some(CheckType::Tcp) => Some(CheckKind::Tcp),
        Some(CheckType::Http) => Some(http.kind(findings)),
        Some(CheckType::Script) => script.kind(table.at, findings),
        None => None,
    };
    table.finish_knowing(&HOMES, findings);

    let (interval, timeout) = (interval?, within(interval?, timeout, findings));
    Some(Check { kind: kind?, port: port.map(|port| port.value), interval, timeout, fall: fall?, rise: rise? })
}

/// Probes of one observer must not overlap.
fn within(interval: Duration, timeout: Option<At<Duration>>, findings: &mut ProblemCollector<'_>) -> Duration {
    let Some(timeout) = timeout else { return default_timeout(interval) };
    if timeout.value > interval {
        let (timeout_text, interval) = (DurationText(timeout.value), DurationText(interval));
        findings.add(timeout.at, format!("`timeout`: {timeout_text} is longer than the interval of {interval}"));
    }
    timeout.value
}

fn kind(text: &str) -> Decoded<CheckType> {
    match text {
        "tcp" => Ok(CheckType::Tcp),
        "http" => Ok(CheckType::Http),
        "script" => Ok(CheckType::Script),
        other => Err(format!("`{}` is not a type of check: use tcp, http or script", clip(other))),
    }
}
