//! Faults of the network: cuts, loss and delay, kept in a file so that they outlive the power of a host.
//!
//! A cut from A to B is a filter on the switch's port to B that drops every frame which came in by A's port: nothing of A
//! reaches B at any layer, whatever MAC it carries, and one direction can be cut alone. The filter hangs on interface indices,
//! which is why ports have fixed ones. Loss and delay are a netem on each end of the host's cable.

use super::hosts::Host;
use super::{namespaces, paths, run};
use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

/// Room in a netem for what a slow cable holds back: a second of the fastest probe, many times over.
const NETEM_FRAMES: u32 = 100_000;

/// Spoiled cable of one host, the same in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cable {
    /// Part of the frames that are lost, in percent.
    pub loss: f64,
    /// Delay in milliseconds.
    pub delay_ms: f64,
    /// How far the delay varies either way, in milliseconds.
    pub jitter_ms: f64,
}

/// Every fault in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Faults {
    /// (from, to) by place in the table of hosts.
    cuts: BTreeSet<(usize, usize)>,
    /// By name of the host.
    cables: BTreeMap<String, Cable>,
}

fn host(index: usize) -> Option<Host> {
    Host::all().nth(index)
}

fn cut_filter(verb: &str, from: Host, to: Host) -> String {
    let head = format!("filter {verb} dev {} egress protocol all pref {} handle 1 flower", to.port(), from.index() + 1);
    if verb == "del" { head } else { format!("{head} indev {} action drop", from.port()) }
}

fn netem(port: &str, cable: Cable) -> String {
    let Cable { loss, delay_ms, jitter_ms } = cable;
    let mut text = format!("qdisc replace dev {port} root netem limit {NETEM_FRAMES}");
    if delay_ms > 0.0 {
        text += &format!(" delay {delay_ms}ms");
        if jitter_ms > 0.0 {
            text += &format!(" {jitter_ms}ms");
        }
    }
    if loss > 0.0 {
        text += &format!(" loss {loss}%");
    }
    text
}

/// Changes the faults in force under a lock; scripts may call verbs side by side.
fn change<T>(edit: impl FnOnce(&mut Faults) -> Result<T>) -> Result<T> {
    let lock = File::create(format!("{}.lock", paths::FAULTS)).context("lock the faults")?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).context("lock the faults")?;
    let mut faults = match std::fs::read(paths::FAULTS) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("understand {}", paths::FAULTS))?,
        Err(_) => Faults::default(),
    };
    let done = edit(&mut faults)?;
    std::fs::write(paths::FAULTS, serde_json::to_vec(&faults)?).with_context(|| format!("write {}", paths::FAULTS))?;
    Ok(done)
}

/// Stops every frame from the first to the second host of each pair.
pub fn cut(pairs: &[(Host, Host)]) -> Result<()> {
    change(|faults| {
        faults.cuts.extend(pairs.iter().map(|(from, to)| (from.index(), to.index())));
        let filters: Vec<String> = pairs
            .iter()
            .filter(|(from, to)| namespaces::is_up(*from) && namespaces::is_up(*to))
            .map(|&(from, to)| cut_filter("replace", from, to))
            .collect();
        run::batch("tc", &[], &filters)
    })
}

/// Changes the cable of a host; a perfect cable has no netem at all.
pub fn spoil(host: Host, edit: impl FnOnce(&mut Cable)) -> Result<()> {
    change(|faults| {
        let cable = faults.cables.entry(host.name().to_owned()).or_default();
        edit(cable);
        let cable = *cable;
        if cable == Cable::default() {
            faults.cables.remove(host.name());
            return mend_cable(host);
        }
        spoil_cable(host, cable)
    })
}

fn spoil_cable(host: Host, cable: Cable) -> Result<()> {
    if !namespaces::is_up(host) {
        return Ok(());
    }
    run::batch("tc", &[], &[netem(&host.port(), cable)])?;
    run::batch("tc", &["-n", host.name()], &[netem("eth0", cable)])
}

fn mend_cable(host: Host) -> Result<()> {
    if !namespaces::is_up(host) {
        return Ok(());
    }
    // "force" makes tc go on where there is nothing to delete.
    run::batch("tc", &["-force"], &[format!("qdisc replace dev {} root noqueue", host.port())])?;
    run::batch("tc", &["-force", "-n", host.name()], &["qdisc replace dev eth0 root noqueue".into()])
}

/// Takes every fault away.
pub fn heal() -> Result<()> {
    change(|faults| {
        let healed = std::mem::take(faults);
        let filters: Vec<String> = healed
            .cuts
            .iter()
            .filter_map(|&(from, to)| Some((host(from)?, host(to)?)))
            .filter(|&(from, to)| namespaces::is_up(from) && namespaces::is_up(to))
            .map(|(from, to)| cut_filter("del", from, to))
            .collect();
        run::batch("tc", &[], &filters)?;
        healed.cables.keys().filter_map(|name| name.parse().ok()).try_for_each(mend_cable)
    })
}

/// Puts the faults of hosts that came back onto their new cables, and forgets filters on cables that are no more.
pub fn reapply(hosts: &[Host]) -> Result<()> {
    change(|faults| {
        let filters: Vec<String> = faults
            .cuts
            .iter()
            .filter_map(|&(from, to)| Some((host(from)?, host(to)?)))
            .filter(|(from, to)| hosts.contains(from) || hosts.contains(to))
            .filter(|&(from, to)| namespaces::is_up(from) && namespaces::is_up(to))
            .map(|(from, to)| cut_filter("replace", from, to))
            .collect();
        run::batch("tc", &[], &filters)?;
        hosts.iter().try_for_each(|&host| match faults.cables.get(host.name()) {
            Some(&cable) => spoil_cable(host, cable),
            None => Ok(()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_a_filter_on_the_receivers_port() {
        let (d1, r1): (Host, Host) = ("d1".parse().unwrap(), "r1".parse().unwrap());
        assert_eq!(
            cut_filter("replace", d1, r1),
            "filter replace dev r1-0 egress protocol all pref 2 handle 1 flower indev d1-0 action drop"
        );
        assert_eq!(cut_filter("del", d1, r1), "filter del dev r1-0 egress protocol all pref 2 handle 1 flower");
    }

    #[test]
    fn loss_and_delay_share_one_netem() {
        let cable = Cable { loss: 2.5, delay_ms: 10.0, jitter_ms: 3.0 };
        assert_eq!(netem("eth0", cable), "qdisc replace dev eth0 root netem limit 100000 delay 10ms 3ms loss 2.5%");
    }
}
