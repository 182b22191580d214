//! What must hold between the parts of a cluster file: names that exist once, references that lead somewhere, addresses with one use.

use super::{
    MAX_ADDRESSES, MAX_SERVERS, MAX_SERVICES, MAX_VIPS,
    draft::{Draft, DraftService},
};
use crate::{
    config::{
        document::{At, closest},
        problem::ProblemCollector,
    },
    model::{ForwardMethod, Protocol, VipName},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    net::Ipv4Addr,
};

/// Adds a finding for everything that does not fit together.
pub(super) fn check(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    limits(draft, findings);
    names(draft, findings);
    vip_addresses(draft, findings);
    vip_references(draft, findings);
    listeners(draft, findings);
    let vips: BTreeSet<Ipv4Addr> = draft.vips.iter().flat_map(|vip| &vip.addresses).map(|address| address.value).collect();
    for service in &draft.services {
        server_addresses(service, &vips, findings);
        server_ports(service, findings);
    }
}

fn limits(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    let mut limit = |places: Vec<usize>, max: usize, what: &str| {
        if let Some(at) = places.get(max) {
            findings.add(*at, format!("there are {} {what}: {max} at most", places.len()));
        }
    };
    limit(draft.vips.iter().map(|vip| vip.at).collect(), MAX_VIPS, "VIP groups");
    limit(draft.services.iter().map(|service| service.at).collect(), MAX_SERVICES, "services");
    let servers = draft.services.iter().flat_map(|service| &service.servers);
    limit(servers.map(|server| server.at).collect(), MAX_SERVERS, "servers");
    for vip in &draft.vips {
        limit(vip.addresses.iter().map(|address| address.at).collect(), MAX_ADDRESSES, "addresses in this VIP group");
    }
}

fn names(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    unique("VIP group", draft.vips.iter().filter_map(|vip| vip.name.as_ref()), findings);
    unique("service", draft.services.iter().filter_map(|service| service.name.as_ref()), findings);
    for service in &draft.services {
        unique("server of this service", service.servers.iter().filter_map(|server| server.name.as_ref()), findings);
    }
}

fn unique<'d, T: Ord + Display + 'd>(what: &str, names: impl Iterator<Item = &'d At<T>>, findings: &mut ProblemCollector<'_>) {
    let mut seen = BTreeMap::new();
    for name in names {
        if let Some(first) = first_use(&mut seen, &name.value, name.at) {
            let line = findings.line_of(first);
            findings.add(name.at, format!("another {what} is called `{}` already (line {line})", name.value));
        }
    }
}

/// Where `key` was used before, if it was.
fn first_use<K: Ord>(seen: &mut BTreeMap<K, usize>, key: K, at: usize) -> Option<usize> {
    let first = *seen.entry(key).or_insert(at);
    (first != at).then_some(first)
}

fn vip_addresses(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    let mut seen = BTreeMap::new();
    for address in draft.vips.iter().flat_map(|vip| &vip.addresses) {
        if let Some(first) = first_use(&mut seen, address.value, address.at) {
            let line = findings.line_of(first);
            findings.add(address.at, format!("{} is a VIP already (line {line})", address.value));
        }
    }
}

fn vip_references(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    // With a nameless group in the file, a reference may well mean that one.
    if draft.vips.iter().any(|vip| vip.name.is_none()) {
        return;
    }
    let known: BTreeSet<&VipName> = draft.vips.iter().filter_map(|vip| vip.name.as_ref()).map(|name| &name.value).collect();
    for vip in draft.services.iter().filter_map(|service| service.vip.as_ref()) {
        if known.contains(&vip.value) {
            continue;
        }
        let hint = match closest(vip.value.as_str(), known.iter().map(|name| name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a [[vip]] with name = \"{}\"", vip.value),
        };
        findings.add(vip.at, format!("no VIP group is called `{}`: {hint}", vip.value));
    }
}

fn listeners(draft: &Draft, findings: &mut ProblemCollector<'_>) {
    let mut seen: BTreeMap<(&VipName, Protocol, u16), usize> = BTreeMap::new();
    for service in &draft.services {
        let (Some(vip), Some(protocol), Some(port)) = (&service.vip, service.protocol, &service.port) else { continue };
        if let Some(first) = first_use(&mut seen, (&vip.value, protocol, port.value), port.at) {
            let line = findings.line_of(first);
            let message =
                format!("{protocol} port {} of VIP group `{}` has a service already (line {line})", port.value, vip.value);
            findings.add(port.at, message);
        }
    }
}

fn server_addresses(service: &DraftService, vips: &BTreeSet<Ipv4Addr>, findings: &mut ProblemCollector<'_>) {
    let mut seen = BTreeMap::new();
    for server in &service.servers {
        let Some(address) = &server.address else { continue };
        if vips.contains(&address.value) {
            findings.add(address.at, format!("{} is a VIP: a server needs an address of its own", address.value));
        }
        if let Some(first) = first_use(&mut seen, address.value, address.at) {
            let line = findings.line_of(first);
            findings.add(address.at, format!("{} is a server of this service already (line {line})", address.value));
        }
    }
}

fn server_ports(service: &DraftService, findings: &mut ProblemCollector<'_>) {
    let (Some(ForwardMethod::Dr), Some(listens)) = (service.forward, &service.port) else { return };
    for port in service.servers.iter().filter_map(|server| server.port.as_ref()) {
        if port.value != listens.value {
            findings.add(
                port.at,
                format!(
                    "port {} differs from the service's {}: direct routing does not change ports, so they must be the same",
                    port.value, listens.value
                ),
            );
        }
    }
}
