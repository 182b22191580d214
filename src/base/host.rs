//! Which machine an address stands for, where places and failures of strangers are counted.

use std::net::IpAddr;

/// An IPv4 address stands for itself, however it is written; of IPv6 a host has a whole /64 to come from (RFC 4291, 2.5.4).
pub fn host(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_ipv4_address_or_a_network_of_ipv6() {
        let of = |text: &str| host(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
    }
}
