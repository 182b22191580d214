//! Asks the neighbours whether somebody has an address already, as RFC 5227 does before it takes one.

use super::packet::arp_socket;
use crate::guard::arp::{FRAME_BYTES, Mac, probe, sender};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    net::Ipv4Addr,
    time::Duration,
};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until, timeout_at},
};

/// How often each address is asked for: a frame may be lost.
const ROUNDS: u32 = 3;
/// Between two rounds, and how long answers to the last are waited for. A machine on the same LAN answers within a millisecond or two.
const ROUND: Duration = Duration::from_millis(150);
/// Most frames that are looked at, so that a flood of ARP keeps nobody.
const MOST_FRAMES: usize = 4096;

/// Those of `addresses` that a machine on the LAN of `interface` has, and its hardware address. Takes half a second, or less when all are found.
///
/// Nobody learns anything wrong from a probe: it has no sender's address in it.
pub async fn taken(interface: &str, addresses: &BTreeSet<Ipv4Addr>) -> io::Result<BTreeMap<Ipv4Addr, Mac>> {
    let (socket, arp, mac) = arp_socket(interface)?;
    // SAFETY: the socket stays open, and is not replaced by another, as long as it is registered.
    let socket = unsafe { AsyncFd::register(socket) }?;
    let (mut found, mut frames) = (BTreeMap::new(), 0);
    for _ in 0..ROUNDS {
        let ends = Instant::now() + ROUND;
        for address in addresses.iter().filter(|address| !found.contains_key(*address)) {
            // A full queue is a lost frame.
            if let Err(error) = socket.get_ref().send_to(&probe(mac, *address), &arp)
                && error.kind() != io::ErrorKind::WouldBlock
            {
                return Err(error);
            }
        }
        // Cancel-safe: a frame that was not taken stays in the socket.
        while let Ok(ready) = timeout_at(ends, socket.readable()).await {
            let mut ready = ready?;
            let mut frame = [0; FRAME_BYTES];
            match ready.try_io(|socket| socket.get_ref().read(&mut frame)) {
                Ok(read) => {
                    frames += 1;
                    let of = sender(&frame[..read?]).filter(|(address, by)| addresses.contains(address) && *by != mac);
                    found.extend(of);
                }
                Err(_would_block) => {}
            }
            if frames >= MOST_FRAMES || found.len() == addresses.len() {
                return Ok(found);
            }
        }
        sleep_until(ends).await;
    }
    Ok(found)
}
