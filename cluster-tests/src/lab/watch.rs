//! `watch-holders`: samples the address tables of directors, or of other hosts, and who answers ARP, in one process that never forks.

use super::arp::Asker;
use super::holders::Watcher;
use super::hosts::Host;
use super::probe::{early, waker::Waker};
use super::ticks;
use anyhow::{Context, Result};
use rustix::event::epoll::EventFlags;
use std::fmt;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// What to watch, and how closely.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The address.
    pub address: Ipv4Addr,
    /// Whose kernels are looked at.
    pub hosts: Vec<Host>,
    /// From one look at all of them to the next.
    pub every: Duration,
    /// How long to look.
    pub span: Duration,
    /// From one ARP question to the next; zero asks none.
    pub arp_every: Duration,
    /// One line for each change.
    pub log: Option<PathBuf>,
}

/// What was seen.
#[derive(Debug)]
pub struct Seen {
    holders_max: usize,
    samples: u64,
    changes: u64,
    unheld: Duration,
    last: Vec<Host>,
    arp: Option<Asker>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, twice, summary) = self.arp.as_ref().map_or((0, 0, "-".to_owned()), |arp| (arp.most, arp.twice, arp.summary()));
        write!(
            f,
            "holders_max={} arp_macs_max={most} arp_twice={twice} samples={} changes={} unheld_ms={} last={} arp={summary}",
            self.holders_max,
            self.samples,
            self.changes,
            ticks::ms(self.unheld),
            names(&self.last),
        )
    }
}

fn names(hosts: &[Host]) -> String {
    if hosts.is_empty() {
        return "-".to_owned();
    }
    hosts.iter().map(|host| host.name()).collect::<Vec<_>>().join("+")
}

/// Looks until the time is up.
pub fn run(plan: &Plan) -> Result<Seen> {
    let mut watchers: Vec<(Host, Watcher)> = plan.hosts.iter().map(|host| (*host, Watcher::new(*host))).collect();
    let mut log = plan.log.as_ref().map(std::fs::File::create).transpose().context("open the log")?.map(BufWriter::new);
    let mut arp = if plan.arp_every.is_zero() { None } else { Some(Asker::new(plan.address)?) };
    let mut waker = Waker::new()?;
    if let Some(arp) = &arp {
        waker.add(arp, 0, EventFlags::IN)?;
    }
    let start = ticks::now();
    let end = start + plan.span;
    let (mut looked, mut next_look, mut next_ask) = (start, start, start);
    let mut seen = Seen { holders_max: 0, samples: 0, changes: 0, unheld: Duration::ZERO, last: Vec::new(), arp: None };
    early::listen()?;
    while ticks::now() < end && !early::asked() {
        let now = ticks::now();
        if now >= next_look {
            let mut holders = Vec::new();
            for (host, watcher) in &mut watchers {
                if watcher.has(plan.address)? {
                    holders.push(*host);
                }
            }
            if holders != seen.last || seen.samples == 0 {
                if let Some(log) = &mut log {
                    writeln!(log, "{:.1} {}", (now - start).as_secs_f64() * 1e3, names(&holders))?;
                }
                seen.changes += u64::from(seen.samples > 0);
            }
            if seen.samples > 0 && seen.last.is_empty() {
                seen.unheld += now - looked;
            }
            looked = now;
            seen.holders_max = seen.holders_max.max(holders.len());
            seen.samples += 1;
            seen.last = holders;
            while next_look <= now {
                next_look += plan.every;
            }
        }
        if let Some(arp) = &mut arp {
            if now >= next_ask {
                arp.ask()?;
                while next_ask <= now {
                    next_ask += plan.arp_every;
                }
            }
            arp.hear();
        }
        let due = if arp.is_some() { next_look.min(next_ask) } else { next_look };
        waker.sleep_until(due.min(end))?;
    }
    if let Some(log) = &mut log {
        log.flush()?;
    }
    seen.arp = arp;
    Ok(seen)
}
