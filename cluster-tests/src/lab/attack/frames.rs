//! `flood`, connections: bytes that are no TLS, broken records, handshakes that stop half-way, and frames behind a handshake.

use super::flood::{Kind, Plan};
use super::hello::{client_hello, record};
use super::mutate::{mutate, noise};
use super::packet;
use super::pcap;
use super::stranger::{SERVER_NAME, Stranger};
use super::streams::conversations;
use crate::sim::dice::Dice;
use anyhow::{Result, bail};
use lvs_agent::link::codec;
use rustix::net::sockopt::{set_socket_linger, set_tcp_nodelay};
use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How many connections are left open behind us: those that say nothing more are among them.
const HELD: usize = 48;
/// Connections between two pauses.
const BURST: u64 = 12;
const PAUSE: Duration = Duration::from_millis(1);
/// How long to wait for a server that does not take what is said to it, or does not answer a handshake.
const PATIENCE: Duration = Duration::from_millis(500);
/// Of a captured connection this much is said again.
const PREFIX_BYTES: usize = 4096;
/// One in so many connections finishes the handshake: it costs both sides more than all else together.
const HANDSHAKES_PER_MILLE: u64 = 60;

/// What was sent, and what became of it.
#[derive(Debug, Default)]
pub struct Seen {
    frames: u64,
    connections: u64,
    refused: u64,
    handshakes: u64,
    bytes: u64,
    /// Connections that the server had ended when we came back to them.
    closed: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, connections, refused, handshakes, bytes, closed } = self;
        write!(
            f,
            "frames={frames} connections={connections} refused={refused} handshakes={handshakes} bytes={bytes} closed={closed}"
        )
    }
}

/// What one connection says: frames, and whether they go behind a handshake.
#[derive(Debug, PartialEq, Eq)]
struct Speech {
    behind_tls: bool,
    frames: Vec<Vec<u8>>,
}

struct Maker {
    dice: Dice,
    real: Vec<Vec<u8>>,
}

impl Maker {
    fn next(&mut self, kind: Kind) -> Speech {
        if self.dice.chance(HANDSHAKES_PER_MILLE) {
            // Behind a true hello stands the parser of requests, without one that of hellos.
            let mut frames: Vec<Vec<u8>> = self.dice.chance(700).then(hello).into_iter().collect();
            frames.extend((0..self.dice.between(1, 16)).map(|_| self.inner()));
            return Speech { behind_tls: true, frames };
        }
        let frames = match kind {
            Kind::Random => self.random(),
            Kind::Mutated => {
                let original = self.dice.below(self.real.len() as u64) as usize;
                vec![mutate(&mut self.dice, &self.real[original], &self.real)]
            }
        };
        Speech { behind_tls: false, frames }
    }

    fn noise(&mut self, most: u64) -> Vec<u8> {
        let length = self.dice.below(most) as usize;
        noise(&mut self.dice, length)
    }

    fn random(&mut self) -> Vec<Vec<u8>> {
        let count = self.dice.between(1, 8);
        match self.dice.below(5) {
            0 => vec![self.noise(2000)],
            // Records of a kind that there is, and of none, with noise in them.
            1 => (0..count)
                .map(|_| {
                    let kind = self.dice.pick(&[20, 21, 22, 23, 24, 0, 255]).unwrap_or(0);
                    record(kind, &self.noise(600))
                })
                .collect(),
            // A record that is longer than what comes.
            2 => vec![[&[22, 3, 1, 0xff, 0xff][..], &self.noise(100)].concat()],
            // Nothing at all, or the first bytes of a hello: the connection stays half-open.
            3 => {
                let hello = client_hello(&mut self.dice, SERVER_NAME);
                let end = self.dice.below(hello.len() as u64) as usize;
                vec![hello[..end].to_vec()]
            }
            _ => {
                let mut frames = vec![client_hello(&mut self.dice, SERVER_NAME)];
                frames.extend((0..count).map(|_| record(self.dice.pick(&[20, 22, 23]).unwrap_or(23), &self.noise(600))));
                frames
            }
        }
    }

    /// What a stranger says once the handshake is done: a length, true or not, and a body that begins like a request or not.
    fn inner(&mut self) -> Vec<u8> {
        let mut body = self.noise(400);
        if let Some(first) = body.first_mut() {
            *first = self.dice.below(16) as u8;
        }
        let lie = self.dice.pick(&[0, 1, 0xffff, 0x00ff_ffff, u32::MAX]).unwrap_or(0);
        let length = if self.dice.chance(800) { body.len() as u32 } else { lie };
        [&length.to_be_bytes()[..], &body].concat()
    }
}

/// The first frame of a node that is in no cluster.
fn hello() -> Vec<u8> {
    // Protocol version; the sender's cluster, number and whom it means: a stranger says none of them.
    let hello: (u16, Option<String>, Option<u64>, Option<u64>) = (1, None, None, None);
    let body = codec::encode(&hello, 1024).unwrap_or_default();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// Beginnings of captured connections to this door.
fn real(capture: Option<&Path>, port: u16) -> Result<Vec<Vec<u8>>> {
    let Some(path) = capture else { return Ok(Vec::new()) };
    let talks = conversations(&packet::read_all(&pcap::read(path)?));
    let whole = talks.into_iter().filter(|talk| talk.server.port() == port && talk.from_start);
    let mut all: Vec<Vec<u8>> = whole.map(|talk| talk.said()).filter(|said| !said.is_empty()).collect();
    all.iter_mut().for_each(|said| said.truncate(PREFIX_BYTES));
    Ok(all)
}

/// Opens connections until so many frames are sent.
pub fn run(plan: &Plan, capture: Option<&Path>) -> Result<Seen> {
    let real = real(capture, plan.door.port())?;
    if plan.kind == Kind::Mutated && real.is_empty() {
        bail!("the capture has no connection to {} from its beginning on (--capture FILE)", plan.door);
    }
    let server = SocketAddr::new(IpAddr::V4(plan.host.address()), plan.door.port());
    let (mut maker, stranger) = (Maker { dice: Dice::new(plan.seed), real }, Stranger::new()?);
    let (mut seen, mut held) = (Seen::default(), VecDeque::new());
    let mut attempts = 0;
    while seen.frames < plan.count {
        attempts += 1;
        if attempts % BURST == 0 {
            std::thread::sleep(PAUSE);
        }
        let speech = maker.next(plan.kind);
        let Ok(socket) = TcpStream::connect_timeout(&server, PATIENCE) else {
            seen.refused += 1;
            if seen.refused > plan.count {
                bail!("{server} takes no connections: {seen}");
            }
            continue;
        };
        prepare(&socket)?;
        seen.connections += 1;
        if let Some(socket) = say(socket, &stranger, &speech, &mut seen) {
            held.push_back(socket);
        }
        if held.len() > HELD
            && let Some(oldest) = held.pop_front()
        {
            seen.closed += u64::from(has_ended(oldest));
        }
    }
    Ok(seen)
}

fn prepare(socket: &TcpStream) -> Result<()> {
    set_tcp_nodelay(socket, true)?;
    // Closing resets: otherwise ports run out, each of them waiting for a minute.
    set_socket_linger(socket, Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.set_write_timeout(Some(PATIENCE))?)
}

/// Says it all, as far as the server listens. What is left open is given back.
fn say(mut socket: TcpStream, stranger: &Stranger, speech: &Speech, seen: &mut Seen) -> Option<TcpStream> {
    if !speech.behind_tls {
        for frame in &speech.frames {
            socket.write_all(frame).ok()?;
            seen.frames += 1;
            seen.bytes += frame.len() as u64;
        }
        return Some(socket);
    }
    let mut stream = stranger.speak(socket).ok()?;
    for frame in &speech.frames {
        stream.write_all(frame).ok()?;
        seen.handshakes += u64::from(std::ptr::eq(frame, &speech.frames[0]));
        seen.frames += 1;
        seen.bytes += frame.len() as u64;
    }
    let _ = stream.flush();
    Some(stream.sock)
}

fn has_ended(mut socket: TcpStream) -> bool {
    let mut buffer = [0; 4096];
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeches(kind: Kind) -> Vec<Speech> {
        let mut maker = Maker { dice: Dice::new(3), real: vec![client_hello(&mut Dice::new(4), SERVER_NAME)] };
        (0..400).map(|_| maker.next(kind)).collect()
    }

    #[test]
    fn the_same_seed_says_the_same() {
        for kind in [Kind::Random, Kind::Mutated] {
            assert_eq!(speeches(kind), speeches(kind));
        }
    }

    #[test]
    fn every_way_of_speaking_comes_up() {
        let all = speeches(Kind::Random);
        let some = |is: &dyn Fn(&Speech) -> bool| all.iter().filter(|speech| is(speech)).count();
        assert!(some(&|speech| speech.behind_tls) > 5);
        assert!(some(&|speech| !speech.behind_tls && speech.frames.len() > 1) > 50);
        let hello = |speech: &Speech| !speech.behind_tls && speech.frames[0].starts_with(&[22, 3, 3]);
        assert!(some(&hello) > 50);
    }
}
