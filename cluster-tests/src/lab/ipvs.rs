//! Reading a host's IPVS table from `/proc/net/ip_vs`, independently of the agent and of `ipvsadm`.

use super::hosts::Host;
use super::namespaces;
use anyhow::{Context, Result};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};

/// One virtual service as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// "tcp" or "udp".
    pub protocol: String,
    /// VIP and port.
    pub address: SocketAddrV4,
    /// Servers and their weights.
    pub servers: Vec<(SocketAddrV4, u32)>,
}

/// The table of a host; empty where it has no power.
pub fn table(host: Host) -> Result<Vec<Service>> {
    let text = namespaces::within_net_if_up(host, || {
        read_whole("/proc/thread-self/net/ip_vs").context("read /proc/net/ip_vs (has this kernel ip_vs?)")
    })?;
    Ok(text.map(|text| parse(&text)).unwrap_or_default())
}

/// The kernel goes through its hash table anew for each read, so that a table read in small pieces may lack entries: large pieces, and few.
fn read_whole(path: &str) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let (mut text, mut piece) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            got => text.extend_from_slice(&piece[..got]),
        }
    }
}

/// `0A000064:0050`
fn address(text: &str) -> Option<SocketAddrV4> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_str_radix(port, 16).ok()?))
}

fn parse(text: &str) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [protocol @ ("TCP" | "UDP"), at, ..] => {
                if let Some(address) = address(at) {
                    services.push(Service { protocol: protocol.to_lowercase(), address, servers: Vec::new() });
                }
            }
            ["->", at, _forward, weight, ..] => {
                if let (Some(service), Some(address), Ok(weight)) = (services.last_mut(), address(at), weight.parse()) {
                    service.servers.push((address, weight));
                }
            }
            _ => {}
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
                    Prot LocalAddress:Port Scheduler Flags\n\
                    \x20 -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
                    TCP  0A000064:0050 wlc  \n\
                    \x20 -> 0A000015:0050      Route   1      0          2         \n\
                    \x20 -> 0A000016:0050      Route   0      0          0         \n";
        let services = parse(text);
        assert_eq!(services.len(), 1);
        assert_eq!(services[0].address, "10.0.0.100:80".parse().unwrap());
        assert_eq!(services[0].servers, [("10.0.0.21:80".parse().unwrap(), 1), ("10.0.0.22:80".parse().unwrap(), 0)]);
    }
}
