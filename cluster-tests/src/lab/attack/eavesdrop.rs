//! `eavesdrop`: whether words can be read in what agents say to each other.

use super::packet::{self, Packet};
use super::streams::conversations;
use super::{Door, pcap};
use crate::lab::report;
use anyhow::{Result, bail};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

/// Random bytes hold any word now and then; it counts as readable when it is there more often than chance would have it once in a billion
/// captures.
const CHANCE: f64 = 1e-9;

/// One form of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// As it is told.
    word: String,
    bytes: Vec<u8>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Seen {
    datagrams: usize,
    connections: usize,
    bytes: usize,
    patterns: usize,
    readable: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datagrams, connections, bytes, patterns, readable } = self;
        write!(f, "datagrams={datagrams} connections={connections} bytes={bytes} patterns={patterns} readable={readable}")
    }
}

/// A word as text; an address in four bytes too, in both orders.
fn patterns(word: &str) -> Vec<Pattern> {
    let pattern = |form: &str, bytes: &[u8]| Pattern { word: format!("{word}{form}"), bytes: bytes.to_vec() };
    let mut all = vec![pattern("", word.as_bytes())];
    if let Ok(address) = word.parse::<Ipv4Addr>() {
        let mut octets = address.octets();
        all.push(pattern(" (four bytes)", &octets));
        octets.reverse();
        all.push(pattern(" (four bytes, reversed)", &octets));
    }
    all
}

fn secret(hex: &str) -> Result<Pattern> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    if digits.len() < 8 || digits.len() != hex.len() || !digits.len().is_multiple_of(2) {
        bail!("--hex wants at least four bytes in hexadecimal digits");
    }
    let bytes = digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    // It may be a key: say which one by its first digits only.
    Ok(Pattern { word: format!("bytes {}…", &hex[..8]), bytes })
}

/// How often chance may put a word of so many bytes into so many bytes.
fn allowed(total: usize, length: usize) -> usize {
    let expected = total as f64 / 256f64.powi(i32::try_from(length.min(32)).unwrap_or(32));
    // Poisson: the likelihood of `hits` or more is about that of `hits` once `hits` is well above what is expected.
    let (mut hits, mut likelihood) = (0, (-expected).exp());
    while likelihood > CHANCE || (hits as f64) < expected {
        hits += 1;
        likelihood *= expected / hits as f64;
        if hits > total {
            break;
        }
    }
    hits.saturating_sub(1)
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).filter(|window| window == &needle).count()
}

/// Looks for the words in what passed these ports; all doors of the agents where none is given. Prints what it finds.
pub fn run(path: &Path, ports: &[u16], words: &[String], hex: &[String]) -> Result<Seen> {
    let doors: Vec<u16> = if ports.is_empty() { Door::ALL.map(Door::port).to_vec() } else { ports.to_vec() };
    let mut wanted: Vec<Pattern> = words.iter().flat_map(|word| patterns(word)).collect();
    for key in hex {
        wanted.push(secret(key)?);
    }
    if wanted.is_empty() || wanted.iter().any(|pattern| pattern.bytes.is_empty()) {
        bail!("which words?");
    }
    let packets = packet::read_all(&pcap::read(path)?);
    let mut seen = Seen { patterns: wanted.len(), ..Seen::default() };
    let mut spoken: Vec<(String, Vec<u8>)> = Vec::new();
    for packet in &packets {
        if let Packet::Datagram(datagram) = packet
            && (doors.contains(&datagram.from.port()) || doors.contains(&datagram.to.port()))
        {
            seen.datagrams += 1;
            spoken.push((format!("udp {} > {}", datagram.from, datagram.to), datagram.body.clone()));
        }
    }
    for conversation in conversations(&packets) {
        if doors.contains(&conversation.server.port()) {
            seen.connections += 1;
            let (client, server) = (conversation.client, conversation.server);
            spoken.push((format!("tcp {client} > {server}"), conversation.said()));
            spoken.push((format!("tcp {server} > {client}"), conversation.answered()));
        }
    }
    seen.bytes = spoken.iter().map(|(_, bytes)| bytes.len()).sum();
    for pattern in &wanted {
        let hits: Vec<(&String, usize)> =
            spoken.iter().map(|(who, bytes)| (who, count(bytes, &pattern.bytes))).filter(|(_, hits)| *hits > 0).collect();
        let total: usize = hits.iter().map(|(_, hits)| hits).sum();
        if total > allowed(seen.bytes, pattern.bytes.len()) {
            seen.readable += 1;
            report::line(format!("readable: {} ({total} times, first in {})", pattern.word, hits[0].0));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::attack::mutate::noise;
    use crate::sim::dice::Dice;

    #[test]
    fn what_chance_allows_grows_with_the_bytes_and_falls_with_the_words_length() {
        assert_eq!(allowed(10_000_000, 8), 0);
        assert!((1..=4).contains(&allowed(10_000_000, 4)), "{}", allowed(10_000_000, 4));
        assert!((153..400).contains(&allowed(10_000_000, 2)), "{}", allowed(10_000_000, 2));
        assert_eq!(allowed(0, 2), 0);
    }

    #[test]
    fn noise_holds_no_word_more_often_than_is_allowed() {
        let bytes = noise(&mut Dice::new(5), 2_000_000);
        for word in ["d1", "r3", "web", "10.0.0.11"] {
            for pattern in patterns(word) {
                assert!(count(&bytes, &pattern.bytes) <= allowed(bytes.len(), pattern.bytes.len()), "{word}");
            }
        }
    }

    #[test]
    fn an_address_is_looked_for_as_text_and_as_bytes() {
        let forms: Vec<Vec<u8>> = patterns("10.0.0.11").into_iter().map(|pattern| pattern.bytes).collect();
        assert_eq!(forms, [b"10.0.0.11".to_vec(), vec![10, 0, 0, 11], vec![11, 0, 0, 10]]);
        assert_eq!(patterns("shop").len(), 1);
        assert_eq!(secret("00ff10abcd").unwrap().bytes, [0, 255, 16, 171, 205]);
        assert!(secret("00f").is_err() && secret("zz00ff10ab").is_err());
    }
}
