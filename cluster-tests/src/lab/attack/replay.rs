//! `replay`: what was captured is sent once more, by somebody else or in the name of its sender.

use super::pace::Pace;
use super::packet::{self, Packet};
use super::raw::Sender;
use super::streams::{Conversation, conversations};
use super::{Door, pcap};
use anyhow::Result;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// How long to wait for a server's answer to what was said again.
const PATIENCE: Duration = Duration::from_secs(1);
/// Only where agents speak; a capture holds the clients' requests too.
const DOORS: [Door; 4] = Door::ALL;

/// What to send again.
#[derive(Debug)]
pub struct Plan {
    /// Source address of the datagrams; that of the capture where none is given.
    pub from: Option<Ipv4Addr>,
    /// Only this.
    pub only: Option<Door>,
}

/// What was sent, and what came back.
#[derive(Debug, Default)]
pub struct Seen {
    datagrams: u64,
    connections: u64,
    refused: u64,
    said: u64,
    heard: u64,
    /// Connections that the server ended.
    closed: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, connections, refused, said, heard, closed } = self;
        write!(f, "datagrams={datagrams} connections={connections} refused={refused} said={said} heard={heard} closed={closed}")
    }
}

/// Sends the capture again: datagrams as fast as their receivers read, then connections one by one.
pub fn run(path: &Path, plan: &Plan) -> Result<Seen> {
    let packets = packet::read_all(&pcap::read(path)?);
    let mut seen = Seen::default();
    let wanted = |udp: bool, port: u16| {
        DOORS.iter().any(|&door| door.is_udp() == udp && door.port() == port && plan.only.is_none_or(|only| only == door))
    };
    let (mut sender, mut pace) = (Sender::open()?, Pace::default());
    for packet in &packets {
        let Packet::Datagram(datagram) = packet else { continue };
        if !wanted(true, datagram.to.port()) {
            continue;
        }
        let mut again = datagram.clone();
        if let Some(from) = plan.from {
            again.from.set_ip(from);
        }
        sender.send(&again)?;
        seen.datagrams += 1;
        pace.sent(again.body.len());
    }
    for conversation in conversations(&packets) {
        if wanted(false, conversation.server.port()) {
            say_again(&conversation, &mut seen);
        }
    }
    Ok(seen)
}

fn say_again(conversation: &Conversation, seen: &mut Seen) {
    let Ok(mut socket) = TcpStream::connect_timeout(&SocketAddr::V4(conversation.server), PATIENCE) else {
        seen.refused += 1;
        return;
    };
    let _ = socket.set_write_timeout(Some(PATIENCE));
    let _ = socket.set_read_timeout(Some(PATIENCE));
    seen.connections += 1;
    let said = conversation.said();
    if socket.write_all(&said).is_ok() {
        seen.said += said.len() as u64;
    }
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break seen.closed += 1,
            Ok(heard) => seen.heard += heard as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                seen.closed += u64::from(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                break;
            }
        }
    }
}
