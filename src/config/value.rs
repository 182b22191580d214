//! Values that configuration files share: node addresses, interface names, IPv4 addresses, durations.

use super::document::{Decoded, clip};
use crate::model::DurationText;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

/// The port of a node's gossip and Raft where none is given; its guard listens on the next one.
pub const DEFAULT_PORT: u16 = 7400;

/// Reads a node's address: `10.0.0.11` or `10.0.0.11:7400`. Names are not looked up: a cluster must come up without DNS.
///
/// # Errors
/// Says what is wrong with it.
pub fn node_address(text: &str) -> Result<SocketAddr, String> {
    let address = match text.parse::<SocketAddr>() {
        Ok(address) => address,
        Err(_) => SocketAddr::new(text.parse().map_err(|_| not_an_address(text))?, DEFAULT_PORT),
    };
    match address.ip() {
        IpAddr::V6(_) => return Err(format!("{address} is an IPv6 address: IPv6 is not supported yet in this version")),
        IpAddr::V4(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => {
            return Err(format!("{ip} is not the address of one machine"));
        }
        IpAddr::V4(_) => {}
    }
    match address.port() {
        0 | u16::MAX => {
            Err(format!("port {} cannot be used: use 1 to 65534 (the guard listens on the next one)", address.port()))
        }
        _ => Ok(address),
    }
}

/// Reads an address with its port: `10.0.0.11:7443`, or `0.0.0.0:7443` for all of this machine's.
///
/// # Errors
/// Says what is wrong with it.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{}` is not an address with a port: write one like 10.0.0.11:7443", clip(text)))
}

fn not_an_address(text: &str) -> String {
    format!("`{}` is not an address: write one like 10.0.0.11 or 10.0.0.11:7400 (host names are not looked up)", clip(text))
}

/// Reads the name of a network interface as `dev_valid_name` of Linux takes it (`net/core/dev.c`).
///
/// # Errors
/// Says what is wrong with it.
pub fn interface(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':');
    if text.is_empty() || text.len() > 15 || matches!(text, "." | "..") || !text.chars().all(legal) {
        return Err(format!("`{}` is not an interface name: use 1 to 15 characters without spaces, `/` and `:`", clip(text)));
    }
    if text == "lo" {
        return Err("VIPs go on the directors' network interface, not on `lo` (real servers use `lo` by themselves)".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads an IPv4 address that one machine can have and others can reach.
pub(super) fn host_address(text: &str) -> Decoded<Ipv4Addr> {
    let ip = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip,
        Ok(IpAddr::V6(ip)) => return Err(format!("{ip} is an IPv6 address: IPv6 is not supported yet in this version")),
        Err(_) if text.contains('/') => return Err(format!("`{}`: leave the prefix length off", clip(text))),
        Err(_) => return Err(format!("`{}` is not an IPv4 address like 10.0.0.100", clip(text))),
    };
    if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_loopback() || ip.octets()[0] == 0 {
        return Err(format!("{ip} is not an address that clients or directors can reach a machine at"));
    }
    Ok(ip)
}

/// Reads a duration within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Decoded<Duration> {
    move |text| {
        let DurationText(duration) = clip(text).parse()?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (low, high) = (DurationText(*range.start()), DurationText(*range.end()));
        Err(format!("{} is out of range: use {low} to {high}", DurationText(duration)))
    }
}
