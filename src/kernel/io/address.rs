//! Adds, removes and lists IP addresses of interfaces over rtnetlink, with a kernel lifetime where wanted.

use crate::clock::{BootClock, BootInstant, Clock};
use futures_util::StreamExt as _;
use rtnetlink::{
    Handle,
    packet_core::{
        ErrorMessage, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo},
    },
};
use std::{
    io,
    net::{IpAddr, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::{Arc, Mutex},
    time::Duration,
};

mod several;

/// The agent's mark on an address (`IFA_PROTO`, since Linux 5.18; older kernels ignore it). A recent `ip address` shows it as `proto 0x4c`.
pub const MARK: u8 = 0x4c;
/// The loopback interface, whose addresses belong to the real-server role.
pub const LOOPBACK: &str = "lo";

/// The kernel answers within microseconds. An answer that has not come within this time is lost (receive buffer overrun).
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// An address can be on an interface once for each prefix length, so 33 times at most.
const MOST_PREFIXES: usize = 33;
/// The kernel's value for a lifetime without end.
const FOREVER: u32 = u32::MAX;

/// Why addresses could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// No netlink socket.
    #[error("cannot open a netlink socket: lvs-agent needs CAP_NET_ADMIN, run it as root")]
    Open(#[source] io::Error),
    /// The interface is not there.
    #[error("there is no interface `{interface}`: compare with `ip link`, and correct the VIP group's interface")]
    NoInterface {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("cannot {what}: see `ip address show dev {interface}`, and whether lvs-agent has CAP_NET_ADMIN")]
    Kernel {
        /// What was asked, for example `put 192.0.2.10 on eth0`.
        what: String,
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The addresses could not be read.
    #[error("cannot list the addresses of this machine")]
    List(#[source] io::Error),
    /// The interfaces could not be read.
    #[error("cannot list the network interfaces of this machine")]
    Interfaces(#[source] io::Error),
    /// The routes could not be read.
    #[error("cannot list the routes of this machine")]
    Routes(#[source] io::Error),
}

/// How long an address is to last, and until when the kernel may be asked to have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForLease {
    /// Its lifetime.
    pub valid_lft: Duration,
    /// The end of the lease: after it no request is made. An answer that is lost is not waited for longer, and the request not made again.
    pub until: BootInstant,
}

/// An address that is on an interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstalledAddress {
    /// The interface's name.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix in bits.
    pub prefix: u8,
    /// The mark of the program that put it there; [`MARK`] is the agent's. `None`: no mark, or the kernel is older than 5.18.
    pub proto: Option<u8>,
    /// The rest of its lifetime in seconds; `None`: without end.
    pub valid_lft: Option<u32>,
}

/// The addresses of this machine (of this network namespace). Clones share one netlink socket.
#[derive(Clone, Debug)]
pub struct Addresses {
    handle: Arc<Mutex<Handle>>,
}

impl Addresses {
    /// Opens a netlink socket. A task on the current runtime serves it.
    pub fn open() -> Result<Self, AddressError> {
        let handle = connect().map_err(AddressError::Open)?;
        Ok(Self { handle: Arc::new(Mutex::new(handle)) })
    }

    /// Puts `address` on `interface` as a host address (/32, /128), or refreshes it there. After `valid_lft`, rounded up to a second, the kernel
    /// removes it by itself (up to a quarter of a second late); `None`: it stays.
    ///
    /// A host address is a subnet of its own, so neither it nor the interface's other addresses depend on each other.
    pub async fn install(&self, interface: &str, address: IpAddr, valid_lft: Option<Duration>) -> Result<(), AddressError> {
        self.put((interface, interface_index(interface)?), address, valid_lft, None, NLM_F_REPLACE).await
    }

    /// The same for a lease.
    pub async fn install_for(&self, interface: &str, address: IpAddr, lease: ForLease) -> Result<(), AddressError> {
        self.put((interface, interface_index(interface)?), address, Some(lease.valid_lft), Some(lease.until), NLM_F_REPLACE).await
    }

    /// Refreshes an address for a lease, or puts it on if it is not there. Returns whether it was there.
    pub async fn refresh_for(&self, interface: &str, address: IpAddr, lease: ForLease) -> Result<bool, AddressError> {
        // The kernel adds an address that is not there whatever the flags say. Only `NLM_F_EXCL` tells both cases apart (`inet_rtm_newaddr` in
        // net/ipv4/devinet.c).
        let on = (interface, interface_index(interface)?);
        let put = |flag| self.put(on, address, Some(lease.valid_lft), Some(lease.until), flag);
        match put(NLM_F_EXCL).await {
            Ok(()) => Ok(false),
            Err(AddressError::Kernel { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                put(NLM_F_REPLACE).await.map(|()| true)
            }
            Err(other) => Err(other),
        }
    }

    async fn put(
        &self,
        (interface, index): (&str, u32),
        address: IpAddr,
        valid_lft: Option<Duration>,
        until: Option<BootInstant>,
        flag: u16,
    ) -> Result<(), AddressError> {
        let mut message = host_address(index, address);
        let lifetime = valid_lft.map_or(FOREVER, whole_seconds);
        let mut cache = CacheInfo::default();
        cache.ifa_valid = lifetime;
        cache.ifa_preferred = lifetime;
        message.attributes.push(AddressAttribute::Address(address));
        message.attributes.push(AddressAttribute::CacheInfo(cache));
        message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
        if address.is_ipv6() {
            // The lease ensures that there is no duplicate, and looking for one takes a second.
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let request = RouteNetlinkMessage::NewAddress(message);
        let done = self.request_until(request, NLM_F_CREATE | flag, until).await.map(|_| ());
        let what = || format!("put {address} on {interface}");
        done.map_err(|source| AddressError::Kernel { what: what(), interface: interface.to_owned(), source })
    }

    /// Removes `address` from `interface`. It is no error if the address or the interface is not there.
    ///
    /// An IPv4 address is removed with every prefix length: a VIP that another tool left there as a /24 would still answer.
    pub async fn remove(&self, interface: &str, address: IpAddr) -> Result<(), AddressError> {
        let index = match interface_index(interface) {
            Ok(index) => index,
            Err(AddressError::NoInterface { .. }) => return Ok(()),
            Err(other) => return Err(other),
        };
        for _ in 0..MOST_PREFIXES {
            let mut message = host_address(index, address);
            if address.is_ipv6() {
                message.attributes.push(AddressAttribute::Address(address));
            }
            match self.request(RouteNetlinkMessage::DelAddress(message), 0).await {
                Ok(_) => (),
                Err(gone) if matches!(gone.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => return Ok(()),
                Err(source) => {
                    let what = format!("take {address} off {interface}");
                    return Err(AddressError::Kernel { what, interface: interface.to_owned(), source });
                }
            }
        }
        Ok(())
    }

    /// Every address of every interface.
    pub async fn list(&self) -> Result<Vec<InstalledAddress>, AddressError> {
        let socket = any_socket().map_err(AddressError::List)?;
        let dump = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let messages = self.request(dump, NLM_F_DUMP).await.map_err(AddressError::List)?;
        let found = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(address) => installed(&socket, address),
            _ => None,
        });
        Ok(found.collect())
    }

    /// Removes every address with the agent's mark that is not on `lo`, and returns them.
    pub async fn remove_marked(&self) -> Result<Vec<InstalledAddress>, AddressError> {
        let mut ours = self.list().await?;
        ours.retain(|found| found.proto == Some(MARK) && found.interface != LOOPBACK);
        for found in &ours {
            self.remove(&found.interface, found.address).await?;
        }
        Ok(ours)
    }

    /// Sends one request and returns the messages that the kernel sent before the acknowledgement.
    ///
    /// If the socket is lost, it opens another and sends the request once more: a guard must be able to remove addresses whatever happened before.
    pub(super) async fn request(&self, request: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.request_until(request, flags, None).await
    }

    /// As [`Addresses::request`], but after `until` nothing is asked of the kernel any more.
    async fn request_until(
        &self,
        request: RouteNetlinkMessage,
        flags: u16,
        until: Option<BootInstant>,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let handle = self.handle.lock().expect("no holder of this lock panics").clone();
        match exchange(handle, request.clone(), flags, answer_limit(until)?).await {
            Err(lost) if matches!(lost.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::TimedOut) => {
                let limit = answer_limit(until)?;
                tracing::warn!(error = %lost, "netlink socket is lost, opening another");
                let handle = connect()?;
                *self.handle.lock().expect("no holder of this lock panics") = handle.clone();
                exchange(handle, request, flags, limit).await
            }
            result => result,
        }
    }
}

/// A new netlink socket, served by a task of its own that ends with the last handle.
fn connect() -> io::Result<Handle> {
    let (mut connection, handle, _) = rtnetlink::new_connection()?;
    // Without these, a request that was done and a connection that broke would look the same.
    connection.set_forward_ack(true);
    connection.set_forward_done(true);
    tokio::spawn(connection);
    Ok(handle)
}

/// For how long an answer is waited for.
///
/// # Errors
/// The lease is over: nothing may be asked.
fn answer_limit(until: Option<BootInstant>) -> io::Result<Duration> {
    let left = until.map_or(ANSWER_LIMIT, |until| (until - BootClock.now()).min(ANSWER_LIMIT));
    if left.is_zero() { Err(io::Error::new(io::ErrorKind::Interrupted, "the lease is over")) } else { Ok(left) }
}

async fn exchange(
    mut handle: Handle,
    request: RouteNetlinkMessage,
    flags: u16,
    limit: Duration,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(request);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    // This fails only if the task that serves the socket has ended.
    let mut answers = handle.request(message).map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
    let mut found = Vec::new();
    loop {
        let answer = tokio::time::timeout(limit, answers.next()).await.map_err(|_| io::ErrorKind::TimedOut)?;
        match answer.ok_or(io::ErrorKind::ConnectionAborted)?.payload {
            NetlinkPayload::Error(ErrorMessage { code: Some(code), .. }) => {
                return Err(io::Error::from_raw_os_error(-code.get()));
            }
            // An acknowledgement is an error without a code; a dump ends with `Done`.
            NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(found),
            NetlinkPayload::Overrun(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            NetlinkPayload::InnerMessage(message) => found.push(message),
            _ => (),
        }
    }
}

/// A message about `address` as a host address, with `IFA_LOCAL` alone: without `IFA_ADDRESS` the kernel deletes an IPv4 address whatever
/// its prefix (`inet_rtm_deladdr` in net/ipv4/devinet.c).
fn host_address(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    (message.header.family, message.header.prefix_len) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(AddressAttribute::Local(address));
    message
}

/// The kernel lifetime of an address that is to be there for `valid_lft`, counted from the time when it was put on.
pub fn lifetime(valid_lft: Duration) -> Duration {
    Duration::from_secs(whole_seconds(valid_lft).into())
}

/// `lifetime` rounded up to seconds, never 0 (which the kernel refuses) and never [`FOREVER`].
fn whole_seconds(lifetime: Duration) -> u32 {
    let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).clamp(1, FOREVER - 1)
}

pub(super) fn installed(socket: &UnixDatagram, message: &AddressMessage) -> Option<InstalledAddress> {
    let mut address = None;
    let (mut proto, mut valid_lft) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On IPv4 `Local` is the address and `Address` its peer; IPv6 mostly has `Address` alone.
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(other) => address = address.or(Some(*other)),
            AddressAttribute::Protocol(mark) => proto = Some(u8::from(*mark)),
            AddressAttribute::CacheInfo(cache) => valid_lft = (cache.ifa_valid != FOREVER).then_some(cache.ifa_valid),
            _ => (),
        }
    }
    let index = message.header.index;
    // An interface that was removed meanwhile has no addresses any more.
    let interface = rustix::net::netdevice::index_to_name(socket, index).ok()?;
    Some(InstalledAddress { interface, index, address: address?, prefix: message.header.prefix_len, proto, valid_lft })
}

/// Whether this machine has `address`, so that it can be listened on: an address that is not there, or not yet, cannot be bound.
pub fn is_here(address: IpAddr) -> bool {
    !UdpSocket::bind((address, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// The index of an interface of this network namespace.
pub fn interface_index(interface: &str) -> Result<u32, AddressError> {
    let index = any_socket().and_then(|socket| Ok(rustix::net::netdevice::name_to_index(&socket, interface)?));
    index.map_err(|source| match source.raw_os_error() {
        Some(libc::ENODEV) => AddressError::NoInterface { interface: interface.to_owned(), source },
        _ => AddressError::Kernel { what: format!("find {interface}"), interface: interface.to_owned(), source },
    })
}

/// Interface names are asked for by an ioctl on any socket.
pub(super) fn any_socket() -> io::Result<UnixDatagram> {
    UnixDatagram::unbound()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_rounded_up_and_never_nothing_or_for_good() {
        let seconds = |millis| whole_seconds(Duration::from_millis(millis));
        assert_eq!([0, 1, 294, 1000, 1001, 2000].map(seconds), [1, 1, 1, 1, 2, 2]);
        assert_eq!(whole_seconds(Duration::from_secs(1 << 40)), FOREVER - 1);
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_named_when_installing_and_is_well_when_removing() {
        let addresses = Addresses::open().unwrap();
        let vip = IpAddr::from([192, 0, 2, 10]);
        let refused = addresses.install("no-such-if", vip, None).await.unwrap_err();
        assert!(refused.to_string().contains("`no-such-if`"), "{refused}");
        addresses.remove("no-such-if", vip).await.unwrap();
    }

    #[test]
    fn an_address_is_here_when_it_can_be_listened_on() {
        assert!(is_here(IpAddr::from([127, 0, 0, 1])));
        assert!(!is_here(IpAddr::from([192, 0, 2, 10])));
    }

    #[tokio::test]
    async fn loopback_is_listed_with_its_address() {
        let list = Addresses::open().unwrap().list().await.unwrap();
        let found = list.iter().find(|found| found.interface == LOOPBACK && found.address == IpAddr::from([127, 0, 0, 1]));
        assert_eq!(found.map(|found| (found.prefix, found.valid_lft)), Some((8, None)), "{list:?}");
    }
}
