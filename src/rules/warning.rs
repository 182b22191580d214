//! Warnings about a rule set that is legal and probably not what is meant: it names what the cluster does not have. `lvs-agent plan` and `apply`
//! print them.

use crate::model::{NodeName, Roles, ServerName, ServiceName, VipName};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr};

/// Most names in one line.
const NAMED: usize = 8;

/// Something that an operator should look at before the rules are applied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "kebab-case")]
pub enum Warning {
    /// No member has a server's address, and the server is not marked as agentless.
    ServerIsNoMember {
        /// The service.
        service: ServiceName,
        /// The server in it.
        server: ServerName,
        /// Its address in the rules.
        address: IpAddr,
    },
    /// The member that has a server's address lacks the role real-server.
    ServerHasOtherRoles {
        /// The service.
        service: ServiceName,
        /// The server in it.
        server: ServerName,
        /// The member.
        node: NodeName,
        /// Its roles.
        roles: Roles,
    },
    /// No director that is heard can hold a group.
    NoDirectorHasInterface {
        /// The group.
        vip: VipName,
        /// The director that holds it now, and gives it up.
        holder: Option<NodeName>,
        /// Every director that is heard.
        directors: Vec<MissingInterface>,
        /// Directors that have not said which interfaces they have.
        unknown: Vec<NodeName>,
    },
    /// Some directors cannot take a group over.
    SomeDirectorsLackInterface {
        /// The group.
        vip: VipName,
        /// The director that holds it now, and gives it up to another.
        holder: Option<NodeName>,
        /// The directors that lack the interface.
        directors: Vec<MissingInterface>,
    },
    /// A VIP is the address of a machine.
    VipIsAHostsAddress {
        /// The group.
        vip: VipName,
        /// The address.
        address: IpAddr,
        /// The member whose address it is.
        node: NodeName,
    },
    /// A machine that is no member answers for a VIP by ARP.
    VipAnswers {
        /// The group.
        vip: VipName,
        /// The address.
        address: IpAddr,
        /// The MAC address that answered, for example `02:00:0a:00:00:0a`.
        hardware_address: String,
        /// The interface on which the answer came.
        interface: String,
        /// The director that got the answer.
        seen_by: NodeName,
    },
}

/// A director that lacks the interface on which it would put a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissingInterface {
    /// The director.
    pub node: NodeName,
    /// The interface that it lacks.
    pub interface: String,
    /// Whether its agent.toml names that interface, and not the cluster file.
    pub configured: bool,
    /// The interfaces that it has, without `lo`.
    pub has: Vec<String>,
}

impl fmt::Display for MissingInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.configured { " (as its agent.toml says)" } else { "" };
        write!(f, "{} has no {}{whose}", self.node, self.interface)?;
        match self.has.as_slice() {
            [] => Ok(()),
            has => write!(f, ", it has {}", listed(has)),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::ServerIsNoMember { service, server, address } => write!(
                f,
                "server {service}/{server}: no member of the cluster is at {address}, so no agent puts the VIP in place there, and it gets no traffic; \
                 correct its address, or let that machine join"
            ),
            Warning::ServerHasOtherRoles { service, server, node, roles } => write!(
                f,
                "server {service}/{server}: {node} is no real server ({roles}), so it does not put the VIP in place and gets no traffic; \
                 correct the address, or run `lvs-agent node rename-roles {node} --roles {},real-server`",
                roles.to_string().replace(' ', "")
            ),
            Warning::NoDirectorHasInterface { vip, holder, directors, unknown } => {
                write!(f, "vip {vip}: no director that is heard has its interface: {}", joined(directors))?;
                if !unknown.is_empty() {
                    write!(f, "; of {} it is not known", listed(unknown))?;
                }
                match holder {
                    Some(holder) => write!(f, "; {holder} holds it now and gives it up, then nobody holds it")?,
                    None => write!(f, "; nobody can hold it")?,
                }
                write!(f, "; correct `interface`, or make that interface")
            }
            Warning::SomeDirectorsLackInterface { vip, holder, directors } => {
                write!(f, "vip {vip}: {}", joined(directors))?;
                match holder {
                    Some(holder) => write!(f, "; {holder} holds it now and gives it up")?,
                    None => write!(f, "; it cannot be taken over there")?,
                }
                write!(f, "; correct `interface`, make that interface, or say in that node's agent.toml what it is called there")
            }
            Warning::VipIsAHostsAddress { vip, address, node } => write!(
                f,
                "vip {vip}: {address} is the address of {node}, which would lose its traffic to whoever holds the VIP; use an address that no machine has"
            ),
            Warning::VipAnswers { vip, address, hardware_address, interface, seen_by } => write!(
                f,
                "vip {vip}: {address} is in use: {hardware_address} answers for it by ARP on {interface} of {seen_by}; use an address that no machine has, \
                 or take it off there"
            ),
        }
    }
}

fn joined(directors: &[MissingInterface]) -> String {
    let shown: Vec<String> = directors.iter().take(NAMED).map(ToString::to_string).collect();
    let more = directors.len() - shown.len();
    if more == 0 { shown.join("; ") } else { format!("{}; and {more} more", shown.join("; ")) }
}

fn listed<T: ToString>(names: &[T]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(ToString::to_string).collect();
    let more = names.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
