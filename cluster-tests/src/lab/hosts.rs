//! The hosts of the lab: names, addresses, MACs and roles.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::LazyLock;

/// The virtual address of the demo's cluster file, `$VIP` in scripts.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends requests; runs no agent.
    Client,
    /// May hold the VIP and forward with IPVS.
    Director,
    /// Runs a web server.
    RealServer,
}

/// Says how many real servers there are, to every process in the lab.
pub const REAL_SERVERS: &str = "LVS_LAB_REAL_SERVERS";
/// How many there are where nobody asked for more or fewer.
pub const REAL_SERVERS_DEFAULT: u8 = 3;
/// The last one before the VIP's address is in the way.
pub const REAL_SERVERS_MAX: u8 = 79;

/// One host of the lab.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    octet: u8,
    role: Role,
}

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let asked = std::env::var(REAL_SERVERS).ok().and_then(|count| count.parse().ok());
    table(asked.unwrap_or(REAL_SERVERS_DEFAULT))
});

fn table(real_servers: u8) -> Vec<Entry> {
    let entry = |name: &str, octet, role| Entry { name: name.to_owned(), octet, role };
    let mut table = vec![entry("c", 10, Role::Client), entry("d1", 11, Role::Director), entry("d2", 12, Role::Director)];
    table.extend((1..=real_servers.min(REAL_SERVERS_MAX)).map(|n| entry(&format!("r{n}"), 20 + n, Role::RealServer)));
    table
}

/// A host, by its place in the table; there is no way to name one that does not exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(usize);

impl Host {
    /// Every host, in the order of `$HOSTS`.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TABLE.len()).map(Self)
    }

    /// Every host that may hold a VIP.
    pub fn directors() -> impl Iterator<Item = Self> {
        Self::all().filter(|host| host.role() == Role::Director)
    }

    /// Every host that runs an agent.
    pub fn nodes() -> impl Iterator<Item = Self> {
        Self::all().filter(|host| host.role() != Role::Client)
    }

    /// The client.
    pub fn client() -> Self {
        Self(0)
    }

    /// The director that founds the cluster.
    pub fn founder() -> Self {
        Self(1)
    }

    /// Name of the host and of its network namespace.
    pub fn name(self) -> &'static str {
        &TABLE[self.0].name
    }

    /// What the host is for.
    pub fn role(self) -> Role {
        TABLE[self.0].role
    }

    /// Its address on the LAN (a /24).
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, TABLE[self.0].octet)
    }

    /// Its MAC: the address behind `02:00`, the same in every life of the host.
    pub fn mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.address().octets();
        [0x02, 0x00, a, b, c, d]
    }

    /// The switch's end of the host's cable.
    pub fn port(self) -> String {
        format!("{}-0", self.name())
    }

    /// Interface index of the switch's end: fixed, because filters on other ports refer to it by number.
    pub fn port_index(self) -> u32 {
        1000 + u32::from(TABLE[self.0].octet)
    }

    /// Place in the table, from 0.
    pub fn index(self) -> usize {
        self.0
    }

    /// The value of `$HOSTS`.
    pub fn names() -> String {
        Self::all().map(Self::name).collect::<Vec<_>>().join(" ")
    }

    /// The host that has this MAC.
    pub fn by_mac(mac: [u8; 6]) -> Option<Self> {
        Self::all().find(|host| host.mac() == mac)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::all()
            .find(|host| host.name() == name)
            .ok_or_else(|| format!("no host {name:?} in the lab; its hosts are: {}", Self::names()))
    }
}

/// `aa:bb:cc:dd:ee:ff`
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_refused_with_the_list_of_hosts() {
        let refusal = "d9".parse::<Host>().unwrap_err();
        assert!(refusal.contains("d9") && refusal.contains("c d1 d2 r1 r2 r3"), "{refusal}");
    }

    #[test]
    fn mac_and_address_name_the_same_host() {
        for host in Host::all() {
            assert_eq!(Host::by_mac(host.mac()), Some(host));
            assert_eq!(host.name().parse(), Ok(host));
        }
        assert_eq!(mac_text(Host::founder().mac()), "02:00:0a:00:00:0b");
    }

    #[test]
    fn no_real_server_has_the_address_of_the_vip() {
        let most = table(u8::MAX);
        assert_eq!((most.len(), most[81].octet), (82, 99));
        assert!(most.iter().all(|entry| entry.octet != VIP.octets()[3]));
    }
}
