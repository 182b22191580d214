//! Sends ARP probes, and hears what other machines say by ARP of certain addresses, without ever waiting: a packet socket for each interface, open only while
//! there is an address to listen for.

use super::{own_macs::own_macs, packet::arp_socket};
use crate::{
    clock::{BootClock, Clock},
    guard::{
        arp::{FRAME_BYTES, Mac, probe, seen},
        leases::ArpInterest,
    },
    model::VipName,
    repeats::Repeats,
    vip::ArpSeen,
};
use socket2::{SockAddr, Socket};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    io::{self, Read},
    net::Ipv4Addr,
    task::Poll,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Most frames of an interface that are looked at in one turn: a flood of ARP delays no deadline by more than that.
const MOST_FRAMES: usize = 64;

/// See the file's first line.
#[derive(Debug, Default)]
pub struct ArpWatch {
    open: BTreeMap<String, Listener>,
    failing: Repeats<String>,
}

#[derive(Debug)]
struct Listener {
    socket: AsyncFd<Socket>,
    arp: SockAddr,
    mac: Mac,
    /// Of all interfaces of this machine: one of them may be on the same LAN, and answers for an address of another.
    own: BTreeSet<Mac>,
}

impl ArpWatch {
    /// Listens on these interfaces and on no others.
    pub fn listen(&mut self, interest: &ArpInterest) {
        self.open.retain(|interface, _| interest.contains_key(interface));
        for interface in interest.keys() {
            if let Err(error) = self.opened(interface) {
                self.failed(interface, "listen", &error);
            }
        }
    }

    /// Asks the neighbours on `interface` who has `vips`. What they answer comes with [`ArpWatch::take`]. Whether they could be asked.
    pub fn probe(&mut self, interface: &str, vips: &[Ipv4Addr]) -> bool {
        let probed = self.opened(interface).and_then(|listener| vips.iter().try_for_each(|vip| listener.probe(*vip)));
        match &probed {
            Ok(()) => {
                self.failing.over(&interface.to_owned());
            }
            Err(error) => {
                self.open.remove(interface);
                self.failed(interface, "probe", error);
            }
        }
        probed.is_ok()
    }

    /// Waits until there is something to take; for ever while nothing is listened for. Cancel-safe.
    pub async fn readable(&self) {
        poll_fn(|context| {
            let is_ready = |listener: &Listener| listener.socket.poll_read_ready(context).is_ready();
            // Not `any`: each has to know whom to wake.
            if self.open.values().map(is_ready).filter(|ready| *ready).count() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// What other machines have said of the addresses that are listened for, each thing once.
    pub fn take(&mut self, interest: &ArpInterest) -> BTreeSet<(VipName, ArpSeen)> {
        let mut taken = BTreeSet::new();
        let mut broken = Vec::new();
        for (interface, listener) in &self.open {
            let Some(vips) = interest.get(interface) else { continue };
            for _ in 0..MOST_FRAMES {
                match listener.next() {
                    Ok(Some((vip, what))) => taken.extend(vips.get(&vip).map(|group| (group.clone(), what))),
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        broken.push((interface.clone(), error));
                        break;
                    }
                }
            }
        }
        for (interface, error) in broken {
            self.open.remove(&interface);
            self.failed(&interface, "hear", &error);
        }
        taken
    }

    fn opened(&mut self, interface: &str) -> io::Result<&Listener> {
        if !self.open.contains_key(interface) {
            self.open.insert(interface.to_owned(), Listener::open(interface)?);
        }
        Ok(&self.open[interface])
    }

    fn failed(&mut self, interface: &str, what: &'static str, error: &io::Error) {
        if let Some(times) = self.failing.due(&interface.to_owned(), &error.to_string(), BootClock.now()) {
            tracing::warn!(interface, what, %error, times, "cannot see by arp whether somebody has a vip, trying again");
        }
    }
}

impl Listener {
    fn open(interface: &str) -> io::Result<Self> {
        let (socket, arp, mac) = arp_socket(interface)?;
        let mut own = own_macs()?;
        own.insert(mac);
        // SAFETY: the socket stays open, and is not replaced by another, as long as it is registered.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { socket, arp, mac, own })
    }

    /// A full queue is a lost frame.
    fn probe(&self, vip: Ipv4Addr) -> io::Result<()> {
        match self.socket.get_ref().send_to(&probe(self.mac, vip), &self.arp) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What the next frame says, if it is of another machine.
    fn next(&self) -> io::Result<Option<(Ipv4Addr, ArpSeen)>> {
        let mut frame = [0; FRAME_BYTES];
        let read = self.socket.try_io(Interest::READABLE, |mut socket| socket.read(&mut frame))?;
        Ok(seen(&frame[..read]).filter(|(_, mac, _)| !self.own.contains(mac)).map(|(vip, _, what)| (vip, what)))
    }
}
