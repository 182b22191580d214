//! Where a probe goes: `http://IP[:PORT]/PATH` or `IP:PORT`. Names are refused: the lab has no resolver.

use super::super::hosts::Host;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Target of `probe http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Where to connect.
    pub address: SocketAddr,
    /// The request, ready to send.
    pub request: Vec<u8>,
}

/// Target of `probe tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTarget(pub SocketAddr);

fn ip(text: &str) -> Result<IpAddr, String> {
    if let Ok(host) = text.parse::<Host>() {
        return Ok(IpAddr::V4(host.address()));
    }
    text.parse().map_err(|_| format!("{text:?} is neither an IP address nor a host of the lab ({})", Host::names()))
}

fn address(authority: &str, default_port: Option<u16>) -> Result<SocketAddr, String> {
    if let Ok(address) = authority.parse() {
        return Ok(address);
    }
    let bare = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (host, port) = match (bare, authority.rsplit_once(':')) {
        (Some(inner), _) => (inner, default_port),
        (None, Some((host, port))) => (host, Some(port.parse().map_err(|_| format!("{port:?} is no port"))?)),
        (None, None) => (authority, default_port),
    };
    let port = port.ok_or_else(|| format!("{authority:?} lacks a port: write HOST:PORT"))?;
    Ok(SocketAddr::new(ip(host)?, port))
}

impl FromStr for HttpTarget {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("{url:?} does not begin with http:// (an example: http://10.0.0.100/)"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let address = address(authority, Some(80))?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: lvs-lab-probe\r\n\r\n").into_bytes();
        Ok(Self { address, request })
    }
}

impl FromStr for TcpTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        address(text, None).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_with_and_without_port_and_path_are_understood() {
        for (url, address, path) in [
            ("http://10.0.0.100/", "10.0.0.100:80", "GET / "),
            ("http://10.0.0.100", "10.0.0.100:80", "GET / "),
            ("http://10.0.0.100:8080/a/b?c=d", "10.0.0.100:8080", "GET /a/b?c=d "),
            ("http://[fd00::1]/x", "[fd00::1]:80", "GET /x "),
            ("http://r2/", "10.0.0.22:80", "GET / "),
        ] {
            let target: HttpTarget = url.parse().unwrap();
            assert_eq!(target.address, address.parse().unwrap(), "{url}");
            assert!(target.request.starts_with(path.as_bytes()), "{url}");
        }
    }

    #[test]
    fn names_and_missing_ports_are_refused_with_a_reason() {
        assert!("http://example/".parse::<HttpTarget>().unwrap_err().contains("neither an IP address"));
        assert!("https://10.0.0.1/".parse::<HttpTarget>().unwrap_err().contains("http://"));
        assert!("10.0.0.1".parse::<TcpTarget>().unwrap_err().contains("lacks a port"));
        assert!("10.0.0.1:x".parse::<TcpTarget>().unwrap_err().contains("no port"));
    }
}
