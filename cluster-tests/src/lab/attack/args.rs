//! The command line of the attacker's verbs.
#![expect(missing_docs, reason = "doc comments here are the help that users read; a name that says it all has none")]

use super::flood::{self, Kind, Plan};
use super::{Door, capture, eavesdrop, frames, replay};
use crate::lab::args::seconds;
use crate::lab::hosts::Host;
use crate::lab::{cli, report};
use anyhow::Result;
use clap::Subcommand;
use lvs_agent::link::token::JoinToken;
use lvs_agent::model::Fingerprint;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Subcommand)]
pub enum Attack {
    /// Write every frame of the LAN to a file (pcap); prints frames=N bytes=N lost=N
    #[command(after_help = "Example:\n  capture /tmp/all.pcap --for 10 & on d1 lvs-agent apply cluster.toml; wait")]
    Capture {
        file: PathBuf,
        #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
        span: Duration,
    },
    /// Look for words in what agents say to each other, as a capture has it
    ///
    /// A word that is an IPv4 address is looked for as text and as four bytes. Prints "readable: WORD …" for each that is there more often
    /// than in random bytes, and one line: datagrams=N connections=N bytes=N patterns=N readable=N.
    #[command(
        after_help = "Example:\n  eavesdrop /tmp/all.pcap 10.0.0.11 shop-front --hex $(od -An -tx1 node.key | tr -d ' \\n')"
    )]
    Eavesdrop {
        file: PathBuf,
        words: Vec<String>,
        /// Bytes to look for
        #[arg(long, value_name = "DIGITS")]
        hex: Vec<String>,
        /// Other ports than the agents'
        #[arg(long, value_delimiter = ',')]
        ports: Vec<u16>,
    },
    /// Send captured datagrams and connections of agents again, from the host on which this runs
    ///
    /// Prints one line: datagrams=N connections=N refused=N said=N heard=N closed=N (said, heard: bytes on connections).
    #[command(
        after_help = "Examples:\n  on c replay /tmp/all.pcap                     in the name of those who sent it\n  on c replay /tmp/all.pcap --from 10.0.0.10    in one's own"
    )]
    Replay {
        file: PathBuf,
        /// Source address of the datagrams, anybody's; without it each has its first sender's
        #[arg(long)]
        from: Option<Ipv4Addr>,
        /// gossip, lease, raft or api
        #[arg(long)]
        only: Option<Door>,
    },
    /// Print a join token that is in order and proves the CA with this fingerprint, but that no cluster has made
    ForgeToken {
        /// As in `lvs-agent status --json`: .cluster.security.authority
        authority: Fingerprint,
    },
    /// Send a host many datagrams or connections that nobody should send, from the host on which this runs
    ///
    /// Random: noise, half of it behind a real beginning. Mutated: captured ones with flipped bits, other lengths, other numbers, parts of
    /// each other. On gossip and lease datagrams, half and more in the name of members: prints datagrams=N bytes=N spoofed=N longest=N. On raft
    /// and api frames on connections, some left open, some behind a TLS handshake without a certificate: prints frames=N connections=N
    /// refused=N handshakes=N bytes=N closed=N. Paced, so that what is sent arrives.
    #[command(after_help = "Example:\n  on c flood d1 --at lease --kind mutated --count 100000 --capture /tmp/all.pcap")]
    Flood {
        host: Host,
        /// gossip, lease, raft or api
        #[arg(long)]
        at: Door,
        #[arg(long)]
        kind: Kind,
        #[arg(long)]
        count: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// What to mutate
        #[arg(long, value_name = "FILE")]
        capture: Option<PathBuf>,
    },
}

/// Carries out an attack. Capturing happens on the switch, everything else where the caller stands.
pub fn carry_out(attack: Attack) -> Result<()> {
    match attack {
        Attack::Capture { file, span } => {
            cli::enter_lab()?;
            report::line(capture::run(&file, span)?);
        }
        Attack::Eavesdrop { file, words, hex, ports } => report::line(eavesdrop::run(&file, &ports, &words, &hex)?),
        Attack::Replay { file, from, only } => report::line(replay::run(&file, &replay::Plan { from, only })?),
        Attack::ForgeToken { authority } => report::line(JoinToken::make(authority).text().as_str()),
        Attack::Flood { host, at, kind, count, seed, capture } => {
            let plan = Plan { host, door: at, kind, count, seed };
            if at.is_udp() {
                report::line(flood::run(&plan, capture.as_deref())?);
            } else {
                report::line(frames::run(&plan, capture.as_deref())?);
            }
        }
    }
    Ok(())
}
