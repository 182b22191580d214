//! A cluster file as far as it could be read: each value with its place, absent where it is wrong.

use crate::{
    config::document::At,
    model::{
        Check, ForwardMethod, OnQuorumLoss, Protocol, RealServer, Scheduler, ServerName, Service, ServiceName, VipGroup, VipName,
        Weight,
    },
    rules::RuleSet,
};
use std::net::{IpAddr, Ipv4Addr};

/// The whole file.
pub(super) struct Draft {
    pub(super) vips: Vec<DraftVip>,
    pub(super) services: Vec<DraftService>,
}

/// One `[[vip]]`.
pub(super) struct DraftVip {
    pub(super) at: usize,
    pub(super) name: Option<At<VipName>>,
    pub(super) addresses: Vec<At<Ipv4Addr>>,
    pub(super) interface: Option<String>,
    pub(super) on_quorum_loss: OnQuorumLoss,
}

/// One `[[service]]`.
pub(super) struct DraftService {
    pub(super) at: usize,
    pub(super) name: Option<At<ServiceName>>,
    pub(super) vip: Option<At<VipName>>,
    pub(super) protocol: Option<Protocol>,
    pub(super) port: Option<At<u16>>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) forward: Option<ForwardMethod>,
    /// The inner one: absent where it is wrong.
    pub(super) check: Option<Option<Check>>,
    pub(super) servers: Vec<DraftServer>,
}

/// One `[[service.server]]`.
pub(super) struct DraftServer {
    pub(super) at: usize,
    pub(super) name: Option<At<ServerName>>,
    pub(super) address: Option<At<Ipv4Addr>>,
    /// The service's where none is given.
    pub(super) port: Option<At<u16>>,
    pub(super) weight: Weight,
    pub(super) agentless: bool,
}

impl Draft {
    /// The rule set, if nothing is missing.
    pub(super) fn into_rules(self) -> Option<RuleSet> {
        let vips: Option<Vec<VipGroup>> = self.vips.into_iter().map(DraftVip::into_group).collect();
        let services: Option<Vec<Service>> = self.services.into_iter().map(DraftService::into_service).collect();
        Some(RuleSet {
            vips: vips?.into_iter().map(|vip| (vip.name.clone(), vip)).collect(),
            services: services?.into_iter().map(|service| (service.name.clone(), service)).collect(),
        })
    }
}

impl DraftVip {
    fn into_group(self) -> Option<VipGroup> {
        let addresses = self.addresses.into_iter().map(|address| IpAddr::V4(address.value)).collect();
        Some(VipGroup { name: self.name?.value, addresses, interface: self.interface?, on_quorum_loss: self.on_quorum_loss })
    }
}

impl DraftService {
    fn into_service(self) -> Option<Service> {
        let check = match self.check {
            None => None,
            Some(check) => Some(check?),
        };
        let port = self.port?.value;
        let servers: Option<Vec<RealServer>> = self.servers.into_iter().map(|server| server.into_server(port)).collect();
        Some(Service {
            name: self.name?.value,
            vip: self.vip?.value,
            protocol: self.protocol?,
            port,
            scheduler: self.scheduler?,
            forward: self.forward?,
            check,
            servers: servers?.into_iter().map(|server| (server.name.clone(), server)).collect(),
        })
    }
}

impl DraftServer {
    fn into_server(self, service_port: u16) -> Option<RealServer> {
        Some(RealServer {
            name: self.name?.value,
            address: IpAddr::V4(self.address?.value),
            port: self.port.map_or(service_port, |port| port.value),
            weight: self.weight,
            agentless: self.agentless,
        })
    }
}
