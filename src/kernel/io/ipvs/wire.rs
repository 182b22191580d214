//! IPVS requests and answers as bytes (`include/uapi/linux/ip_vs.h`).

use super::frame::{Attributes, GENERIC_HEADER_BYTES, Request, attributes_of, text_of, u16_at, u32_at};
use crate::{
    kernel::{DataPlaneError, Dest, DestKey, Forward, IpvsStep, LoStep, ServiceKey, ServiceOptions, Step, SysctlStep},
    model::Protocol,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The family's name.
pub const FAMILY_NAME: &str = "IPVS";

/// Number of the family that resolves families (`GENL_ID_CTRL`).
const CONTROLLER: u16 = 0x10;
const CONTROLLER_GET_FAMILY: u8 = 3;
const CONTROLLER_FAMILY_ID: u16 = 1;
const CONTROLLER_FAMILY_NAME: u16 = 2;

mod command {
    pub const NEW_SERVICE: u8 = 1;
    pub const SET_SERVICE: u8 = 2;
    pub const DEL_SERVICE: u8 = 3;
    pub const GET_SERVICE: u8 = 4;
    pub const NEW_DEST: u8 = 5;
    pub const SET_DEST: u8 = 6;
    pub const DEL_DEST: u8 = 7;
    pub const GET_DEST: u8 = 8;
    pub const GET_INFO: u8 = 15;
}

mod attribute {
    pub const SERVICE: u16 = 1;
    pub const DEST: u16 = 2;
}

mod service_attribute {
    pub const FAMILY: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const ADDRESS: u16 = 3;
    pub const PORT: u16 = 4;
    pub const FWMARK: u16 = 5;
    pub const SCHEDULER: u16 = 6;
    pub const FLAGS: u16 = 7;
    pub const TIMEOUT: u16 = 8;
    pub const NETMASK: u16 = 9;
    pub const PERSISTENCE_ENGINE: u16 = 11;
}

mod dest_attribute {
    pub const ADDRESS: u16 = 1;
    pub const PORT: u16 = 2;
    pub const FORWARD: u16 = 3;
    pub const WEIGHT: u16 = 4;
    pub const UPPER_THRESHOLD: u16 = 5;
    pub const LOWER_THRESHOLD: u16 = 6;
    pub const FAMILY: u16 = 11;
}

/// `IP_VS_SVC_F_HASHED`: the kernel's own, not an option.
const FLAG_HASHED: u32 = 0x2;
const FAMILY_INET: u16 = 2;
const FAMILY_INET6: u16 = 10;
const PROTOCOL_TCP: u16 = 6;
const PROTOCOL_UDP: u16 = 17;

/// Asks for the number of the IPVS family.
pub fn get_family() -> Request {
    Request::new(CONTROLLER, CONTROLLER_GET_FAMILY, &Attributes::default().put_text(CONTROLLER_FAMILY_NAME, FAMILY_NAME))
}

/// Asks for the version of IPVS.
pub fn get_info(family: u16) -> Request {
    Request::new(family, command::GET_INFO, &Attributes::default())
}

/// Asks for all services.
pub fn dump_services(family: u16) -> Request {
    Request::dump(family, command::GET_SERVICE, &Attributes::default())
}

/// Asks for all destinations of a service.
pub fn dump_dests(family: u16, service: &ServiceKey) -> Request {
    Request::dump(family, command::GET_DEST, &Attributes::default().nest(attribute::SERVICE, &service_key(service)))
}

/// The requests for a step, in order; none for steps that are not IPVS's.
pub fn change(family: u16, step: &Step) -> Vec<Request> {
    let whole =
        |command, service: Attributes| Request::new(family, command, &Attributes::default().nest(attribute::SERVICE, &service));
    let part = |command, key: &ServiceKey, dest: Attributes| {
        let attributes = Attributes::default().nest(attribute::SERVICE, &service_key(key)).nest(attribute::DEST, &dest);
        Request::new(family, command, &attributes)
    };
    let edit = |key, dest, to: &Dest| part(command::SET_DEST, key, dest_properties(dest_key(dest), to));
    match step {
        Step::Ipvs(IpvsStep::AddService(key, options)) => {
            vec![whole(command::NEW_SERVICE, service_options(service_key(key), options))]
        }
        Step::Ipvs(IpvsStep::EditService(key, options)) => {
            vec![whole(command::SET_SERVICE, service_options(service_key(key), options))]
        }
        Step::Ipvs(IpvsStep::RemoveService(key)) => vec![whole(command::DEL_SERVICE, service_key(key))],
        Step::Ipvs(IpvsStep::AddDest(key, dest, to)) => vec![part(command::NEW_DEST, key, dest_properties(dest_key(dest), to))],
        Step::Ipvs(IpvsStep::EditDest(key, dest, to)) => vec![edit(key, dest, to)],
        Step::Ipvs(IpvsStep::RemoveDest(key, dest, is)) => {
            vec![edit(key, dest, &Dest { weight: 0, ..*is }), part(command::DEL_DEST, key, dest_key(dest))]
        }
        Step::Lo(LoStep::Remove(_))
        | Step::Sysctl(SysctlStep::RestoreArp)
        | Step::Sysctl(SysctlStep::TuneIpvs)
        | Step::Sysctl(SysctlStep::RestoreIpvs)
        | Step::Sysctl(SysctlStep::SilenceArp)
        | Step::Lo(LoStep::Add(_)) => {
            vec![]
        }
    }
}

fn service_key(key: &ServiceKey) -> Attributes {
    let protocol = match key.protocol {
        Protocol::Tcp => PROTOCOL_TCP,
        Protocol::Udp => PROTOCOL_UDP,
    };
    Attributes::default()
        .put_u16(service_attribute::FAMILY, address_family(key.address))
        .put_u16(service_attribute::PROTOCOL, protocol)
        .put(service_attribute::ADDRESS, &address_bytes(key.address))
        .put(service_attribute::PORT, &key.port.to_be_bytes())
}

fn service_options(key: Attributes, options: &ServiceOptions) -> Attributes {
    // `struct ip_vs_flags`: the flags, and which of them are meant.
    let flags = [options.flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
    let attributes = key
        .put_text(service_attribute::SCHEDULER, &options.scheduler)
        .put(service_attribute::FLAGS, &flags)
        .put_u32(service_attribute::TIMEOUT, options.timeout_s)
        .put_u32(service_attribute::NETMASK, options.netmask);
    match &options.persistence_engine {
        Some(engine) => attributes.put_text(service_attribute::PERSISTENCE_ENGINE, engine),
        None => attributes,
    }
}

fn dest_key(key: &DestKey) -> Attributes {
    Attributes::default()
        .put_u16(dest_attribute::FAMILY, address_family(key.address))
        .put(dest_attribute::ADDRESS, &address_bytes(key.address))
        .put(dest_attribute::PORT, &key.port.to_be_bytes())
}

fn dest_properties(key: Attributes, dest: &Dest) -> Attributes {
    key.put_u32(dest_attribute::FORWARD, dest.forward.number())
        .put_u32(dest_attribute::WEIGHT, dest.weight)
        .put_u32(dest_attribute::UPPER_THRESHOLD, dest.upper_threshold)
        .put_u32(dest_attribute::LOWER_THRESHOLD, dest.lower_threshold)
}

fn address_family(address: IpAddr) -> u16 {
    if address.is_ipv4() { FAMILY_INET } else { FAMILY_INET6 }
}

/// `union nf_inet_addr`.
fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// What a dump of services lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listed {
    /// A TCP or UDP service.
    Service(ServiceKey, ServiceOptions),
    /// A service by firewall mark.
    Fwmark(u32),
    /// A service of another protocol (SCTP), never ours.
    Other,
}

/// Reads the answer to [`get_family`].
pub fn read_family(payload: &[u8]) -> Result<u16, DataPlaneError> {
    for attribute in attributes_of(body(payload)?) {
        if let (CONTROLLER_FAMILY_ID, value) = attribute? {
            return u16_at(value, 0).ok_or(DataPlaneError::Malformed("a family number of less than two bytes"));
        }
    }
    Err(DataPlaneError::Malformed("a family without a number"))
}

/// Reads the answer to [`get_info`]: version and size of the connection table.
pub fn read_info(payload: &[u8]) -> Result<(u32, u32), DataPlaneError> {
    let (mut version, mut table) = (None, None);
    for attribute in attributes_of(body(payload)?) {
        match attribute? {
            (1, value) => version = u32_at(value, 0),
            (2, value) => table = u32_at(value, 0),
            _ => {}
        }
    }
    version.zip(table).ok_or(DataPlaneError::Malformed("information without version or table size"))
}

/// Reads one service of a dump.
pub fn read_service(payload: &[u8]) -> Result<Listed, DataPlaneError> {
    const INCOMPLETE: DataPlaneError = DataPlaneError::Malformed("a service lacks an attribute, or one is too short");
    let service = nested(payload, attribute::SERVICE)?;
    let (mut family, mut protocol, mut address, mut port, mut fwmark) = (None, None, None, None, None);
    let (mut scheduler, mut flags, mut timeout_s, mut netmask, mut persistence_engine) = (None, None, None, None, None);
    for attribute in attributes_of(service) {
        let (kind, value) = attribute?;
        match kind {
            service_attribute::FAMILY => family = u16_at(value, 0),
            service_attribute::PROTOCOL => protocol = u16_at(value, 0),
            service_attribute::ADDRESS => address = Some(value),
            service_attribute::PORT => port = u16_at(value, 0).map(u16::from_be),
            service_attribute::FWMARK => fwmark = u32_at(value, 0),
            service_attribute::SCHEDULER => scheduler = Some(text_of(value)),
            service_attribute::FLAGS => flags = u32_at(value, 0),
            service_attribute::TIMEOUT => timeout_s = u32_at(value, 0),
            service_attribute::NETMASK => netmask = u32_at(value, 0),
            service_attribute::PERSISTENCE_ENGINE => persistence_engine = Some(text_of(value)),
            _ => {}
        }
    }
    if let Some(mark) = fwmark {
        return Ok(Listed::Fwmark(mark));
    }
    let protocol = match protocol.ok_or(INCOMPLETE)? {
        PROTOCOL_TCP => Protocol::Tcp,
        PROTOCOL_UDP => Protocol::Udp,
        _ => return Ok(Listed::Other),
    };
    let address = read_address(family.ok_or(INCOMPLETE)?, address.ok_or(INCOMPLETE)?)?;
    let options = ServiceOptions {
        scheduler: scheduler.ok_or(INCOMPLETE)?,
        flags: flags.ok_or(INCOMPLETE)? & !FLAG_HASHED,
        timeout_s: timeout_s.ok_or(INCOMPLETE)?,
        netmask: netmask.ok_or(INCOMPLETE)?,
        persistence_engine,
    };
    Ok(Listed::Service(ServiceKey { protocol, address, port: port.ok_or(INCOMPLETE)? }, options))
}

/// Reads one destination of a dump for `service`.
pub fn read_dest(payload: &[u8], service: &ServiceKey) -> Result<(DestKey, Dest), DataPlaneError> {
    const INCOMPLETE: DataPlaneError = DataPlaneError::Malformed("a destination lacks an attribute, or one is too short");
    // Kernels before 3.18 do not say a destination's family: it is the service's.
    let mut family = address_family(service.address);
    let (mut address, mut port, mut forward, mut weight, mut upper, mut lower) = (None, None, None, None, None, None);
    for attribute in attributes_of(nested(payload, attribute::DEST)?) {
        let (kind, value) = attribute?;
        match kind {
            dest_attribute::ADDRESS => address = Some(value),
            dest_attribute::PORT => port = u16_at(value, 0).map(u16::from_be),
            dest_attribute::FORWARD => forward = u32_at(value, 0).map(Forward::from),
            dest_attribute::WEIGHT => weight = u32_at(value, 0),
            dest_attribute::UPPER_THRESHOLD => upper = u32_at(value, 0),
            dest_attribute::LOWER_THRESHOLD => lower = u32_at(value, 0),
            dest_attribute::FAMILY => family = u16_at(value, 0).ok_or(INCOMPLETE)?,
            _ => {}
        }
    }
    let key = DestKey { address: read_address(family, address.ok_or(INCOMPLETE)?)?, port: port.ok_or(INCOMPLETE)? };
    let dest = Dest {
        weight: weight.ok_or(INCOMPLETE)?,
        forward: forward.ok_or(INCOMPLETE)?,
        upper_threshold: upper.ok_or(INCOMPLETE)?,
        lower_threshold: lower.ok_or(INCOMPLETE)?,
    };
    Ok((key, dest))
}

fn read_address(family: u16, bytes: &[u8]) -> Result<IpAddr, DataPlaneError> {
    match family {
        FAMILY_INET => bytes.first_chunk::<4>().map(|octets| IpAddr::V4(Ipv4Addr::from(*octets))),
        FAMILY_INET6 => bytes.first_chunk::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(*octets))),
        _ => None,
    }
    .ok_or(DataPlaneError::Malformed("an address of no known family, or cut short"))
}

/// What follows the generic-netlink header.
fn body(payload: &[u8]) -> Result<&[u8], DataPlaneError> {
    payload.get(GENERIC_HEADER_BYTES..).ok_or(DataPlaneError::Malformed("a message without a generic netlink header"))
}

fn nested(payload: &[u8], wanted: u16) -> Result<&[u8], DataPlaneError> {
    for attribute in attributes_of(body(payload)?) {
        let (kind, value) = attribute?;
        if kind == wanted {
            return Ok(value);
        }
    }
    Err(DataPlaneError::Malformed("a dumped entry without its attribute"))
}

#[cfg(test)]
mod tests;
