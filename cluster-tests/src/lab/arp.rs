//! Asking the LAN who has an address, from the client's interface, as any machine there would.

use super::hosts::{Host, mac_text};
use super::namespaces;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const ETH_P_ARP: u16 = 0x0806;
const REPLY: [u8; 2] = [0, 2];

/// Asks again and again, and counts who answers.
#[derive(Debug)]
pub struct Asker {
    socket: OwnedFd,
    target: Ipv4Addr,
    /// Who answered the question that is open.
    round: BTreeSet<[u8; 6]>,
    /// Most MACs that answered one question.
    pub most: usize,
    /// Questions that two MACs or more answered.
    pub twice: u64,
    /// Answers by MAC.
    pub answers: BTreeMap<[u8; 6], usize>,
}

impl Asker {
    /// Opens a packet socket on the client.
    pub fn new(target: Ipv4Addr) -> Result<Self> {
        let socket = namespaces::within_net(Host::client(), packet_socket).context("listen for ARP on the client")?;
        Ok(Self { socket, target, round: BTreeSet::new(), most: 0, twice: 0, answers: BTreeMap::new() })
    }

    /// Closes the last round and asks anew, by broadcast.
    pub fn ask(&mut self) -> Result<()> {
        self.hear();
        self.round.clear();
        rustix::net::send(&self.socket, &question(self.target), rustix::net::SendFlags::empty())
            .context("send an ARP request")?;
        Ok(())
    }

    /// Takes in what has come.
    pub fn hear(&mut self) {
        let mut frame = [0u8; 128];
        while let Ok(length) = rustix::io::read(&self.socket, &mut frame) {
            if let Some(mac) = answer(&frame[..length], self.target) {
                let is_another = self.round.insert(mac);
                self.twice += u64::from(is_another && self.round.len() == 2);
                self.most = self.most.max(self.round.len());
                *self.answers.entry(mac).or_insert(0) += 1;
            }
        }
    }

    /// `d1:12,d2:3`: answers by host, or by MAC where it is nobody's.
    pub fn summary(&self) -> String {
        let counts: Vec<String> = self
            .answers
            .iter()
            .map(|(&mac, count)| {
                format!("{}:{count}", Host::by_mac(mac).map_or_else(|| mac_text(mac).replace(':', "-"), |host| host.to_string()))
            })
            .collect();
        if counts.is_empty() { "-".to_owned() } else { counts.join(",") }
    }
}

impl AsFd for Asker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn packet_socket() -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a plain system call; the descriptor it returns is ours alone.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, i32::from(ETH_P_ARP.to_be())) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error()).context("open a packet socket");
    }
    // SAFETY: just created and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_ll is plain data, for which zeroes are valid; the pointer and length describe it.
    let bound = unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ETH_P_ARP.to_be();
        address.sll_ifindex = i32::try_from(libc::if_nametoindex(c"eth0".as_ptr())).unwrap_or(0);
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32)
    };
    if bound != 0 {
        return Err(std::io::Error::last_os_error()).context("bind a packet socket to eth0");
    }
    Ok(socket)
}

/// "Who has `target`?", broadcast by the client.
fn question(target: Ipv4Addr) -> Vec<u8> {
    let client = Host::client();
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&client.mac());
    frame.extend_from_slice(&ETH_P_ARP.to_be_bytes());
    // Ethernet, IPv4, their address lengths, request
    frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend_from_slice(&client.mac());
    frame.extend_from_slice(&client.address().octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target.octets());
    frame
}

/// The MAC that answers for `target`, if that is what the frame does; its own word, not the frame's source.
fn answer(frame: &[u8], target: Ipv4Addr) -> Option<[u8; 6]> {
    let arp = frame.get(14..42)?;
    (frame[12..14] == ETH_P_ARP.to_be_bytes() && arp[6..8] == REPLY && arp[14..18] == target.octets())
        .then(|| arp[8..14].try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reply_for_the_address_asked_about_is_an_answer() {
        let vip = Ipv4Addr::new(10, 0, 0, 100);
        let d1 = Host::founder();
        let mut frame = question(vip);
        assert_eq!(answer(&frame, vip), None);
        frame[21] = 2;
        frame[22..28].copy_from_slice(&d1.mac());
        frame[28..32].copy_from_slice(&vip.octets());
        assert_eq!(answer(&frame, vip), Some(d1.mac()));
        assert_eq!(answer(&frame, Ipv4Addr::LOCALHOST), None);
        assert_eq!(answer(&frame[..30], vip), None);
    }
}
