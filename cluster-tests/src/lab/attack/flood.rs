//! `flood`, datagrams: random ones and mutated real ones, in the attacker's name and in those of members.

use super::mutate::{MAX_BYTES, mutate, noise};
use super::pace::Pace;
use super::packet::{self, Datagram};
use super::raw::Sender;
use super::{Door, pcap};
use crate::lab::hosts::Host;
use crate::sim::dice::Dice;
use anyhow::{Result, bail};
use std::fmt;
use std::net::SocketAddrV4;
use std::path::Path;

/// Beginning of a real one (magic and version), so that not everything ends at the first look.
const HEAD: [u8; 5] = *b"lvsA\x02";
/// The longest usual payload of one frame.
const FRAME_BYTES: u64 = 1400;

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Nothing but noise, half of it behind a real beginning.
    Random,
    /// Captured and changed a little.
    Mutated,
}

/// An attack on one door of one host.
#[derive(Debug)]
pub struct Plan {
    /// Whom.
    pub host: Host,
    /// Where.
    pub door: Door,
    /// With what.
    pub kind: Kind,
    /// How many datagrams or frames.
    pub count: u64,
    /// The same seed sends the same.
    pub seed: u64,
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Seen {
    datagrams: u64,
    bytes: u64,
    spoofed: u64,
    longest: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, bytes, spoofed, longest } = self;
        write!(f, "datagrams={datagrams} bytes={bytes} spoofed={spoofed} longest={longest}")
    }
}

/// Captured datagrams for this door, those for this host before all others.
fn real(capture: Option<&Path>, plan: &Plan) -> Result<Vec<Datagram>> {
    let Some(path) = capture else { return Ok(Vec::new()) };
    let mut all = packet::datagrams(&pcap::read(path)?);
    all.retain(|datagram| datagram.to.port() == plan.door.port());
    let (for_host, others): (Vec<Datagram>, Vec<Datagram>) =
        all.into_iter().partition(|datagram| *datagram.to.ip() == plan.host.address());
    Ok(if for_host.is_empty() { others } else { for_host })
}

/// Makes the datagrams of an attack, one after the other.
struct Maker {
    dice: Dice,
    to: SocketAddrV4,
    members: Vec<SocketAddrV4>,
    own: SocketAddrV4,
    real: Vec<Datagram>,
    bodies: Vec<Vec<u8>>,
}

impl Maker {
    fn new(plan: &Plan, real: Vec<Datagram>) -> Self {
        let port = plan.door.port();
        Self {
            dice: Dice::new(plan.seed),
            to: SocketAddrV4::new(plan.host.address(), port),
            members: Host::nodes()
                .filter(|&host| host != plan.host)
                .map(|host| SocketAddrV4::new(host.address(), port))
                .collect(),
            own: SocketAddrV4::new(Host::client().address(), port),
            bodies: real.iter().map(|datagram| datagram.body.clone()).collect(),
            real,
        }
    }

    fn next(&mut self, kind: Kind) -> Datagram {
        match kind {
            Kind::Random => {
                let from = if self.dice.chance(500) { self.own } else { self.dice.pick(&self.members).unwrap_or(self.own) };
                Datagram { from, to: self.to, body: self.random() }
            }
            Kind::Mutated => {
                let at = self.dice.below(self.real.len() as u64) as usize;
                // Mostly in the name of who sent it, because the address is what is looked at first.
                let from = if self.dice.chance(900) { self.real[at].from } else { self.own };
                Datagram { from, to: self.to, body: mutate(&mut self.dice, &self.bodies[at], &self.bodies) }
            }
        }
    }

    fn random(&mut self) -> Vec<u8> {
        let most = if self.dice.chance(5) { MAX_BYTES as u64 } else { FRAME_BYTES };
        let length = self.dice.below(most) as usize;
        let mut body = noise(&mut self.dice, length);
        if self.dice.chance(500) {
            let head = HEAD.len().min(body.len());
            body[..head].copy_from_slice(&HEAD[..head]);
            if let Some(kind) = body.get_mut(5) {
                *kind = self.dice.below(6) as u8;
            }
        }
        body
    }
}

/// Sends them.
pub fn run(plan: &Plan, capture: Option<&Path>) -> Result<Seen> {
    let real = real(capture, plan)?;
    if plan.kind == Kind::Mutated && real.is_empty() {
        bail!("the capture has no datagram for {}: mutated ones are made of real ones (--capture FILE)", plan.door);
    }
    let (mut maker, mut sender, mut pace) = (Maker::new(plan, real), Sender::open()?, Pace::default());
    let mut seen = Seen::default();
    for _ in 0..plan.count {
        let datagram = maker.next(plan.kind);
        sender.send(&datagram)?;
        seen.datagrams += 1;
        seen.bytes += datagram.body.len() as u64;
        seen.spoofed += u64::from(datagram.from.ip() != maker.own.ip());
        seen.longest = seen.longest.max(datagram.body.len());
        pace.sent(datagram.body.len());
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kind: Kind) -> Plan {
        Plan { host: Host::founder(), door: Door::Gossip, kind, count: 0, seed: 11 }
    }

    fn first(kind: Kind, count: usize) -> Vec<Datagram> {
        let (from, to) = ("10.0.0.12:7400".parse().unwrap(), "10.0.0.11:7400".parse().unwrap());
        let real = vec![Datagram { from, to, body: b"lvsA\x02\x01 and a body that is sealed".to_vec() }];
        let mut maker = Maker::new(&plan(kind), real);
        (0..count).map(|_| maker.next(kind)).collect()
    }

    #[test]
    fn the_same_seed_sends_the_same() {
        for kind in [Kind::Random, Kind::Mutated] {
            assert_eq!(first(kind, 300), first(kind, 300));
        }
    }

    #[test]
    fn every_datagram_goes_to_the_door_and_none_comes_from_its_host() {
        for kind in [Kind::Random, Kind::Mutated] {
            for datagram in first(kind, 500) {
                assert_eq!(datagram.to, "10.0.0.11:7400".parse().unwrap());
                assert_ne!(datagram.from.ip(), datagram.to.ip());
            }
        }
    }

    #[test]
    fn half_of_what_is_random_begins_like_a_real_one() {
        let real = first(Kind::Random, 1000).iter().filter(|datagram| datagram.body.starts_with(&HEAD)).count();
        assert!((400..600).contains(&real), "{real}");
    }
}
