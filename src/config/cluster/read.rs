//! Reads the tables of a cluster file into a [`Draft`], value by value.

use super::{
    check,
    draft::{Draft, DraftServer, DraftService, DraftVip},
    places::{HOMES, PORTS},
};
use crate::{
    config::{
        document::{Decoded, Table, boolean, clip, integer, parsed, text},
        problem::ProblemCollector,
        value,
    },
    model::{ForwardMethod, OnQuorumLoss, Protocol, Scheduler, Weight},
};

pub(super) fn cluster(mut root: Table<'_>, findings: &mut ProblemCollector<'_>) -> Draft {
    let vips = root.tables("vip", "[[vip]]", findings).into_iter().map(|table| vip(table, findings)).collect();
    let services = root.tables("service", "[[service]]", findings).into_iter().map(|table| service(table, findings)).collect();
    root.finish_knowing(&HOMES, findings);
    Draft { vips, services }
}

fn vip(mut table: Table<'_>, findings: &mut ProblemCollector<'_>) -> DraftVip {
    let name = table.required("name", parsed, findings);
    let addresses = table.required_list("addresses", text(value::host_address), findings);
    let interface = table.required("interface", text(value::interface), findings);
    let on_quorum_loss = table.with_default("on_quorum_loss", text(on_quorum_loss), OnQuorumLoss::default(), findings);
    let at = table.at;
    table.finish_knowing(&HOMES, findings);
    DraftVip {
        at,
        name,
        addresses: addresses.map_or_else(Vec::new, |list| {
            if list.is_empty {
                findings.add(list.at, "`addresses`: a VIP group needs at least one address");
            }
            list.items
        }),
        interface: interface.map(|found| found.value),
        on_quorum_loss: on_quorum_loss.unwrap_or_default(),
    }
}

fn service(mut table: Table<'_>, findings: &mut ProblemCollector<'_>) -> DraftService {
    let name = table.required("name", parsed, findings);
    let vip = table.required("vip", parsed, findings);
    let protocol = table.with_default("protocol", text(protocol), Protocol::Tcp, findings);
    let port = table.required("port", integer(PORTS), findings);
    let scheduler = table.with_default("scheduler", parsed, Scheduler::Wlc, findings);
    let forward = table.with_default("forward", text(forward), ForwardMethod::Dr, findings);
    let check = table.table("check", "[service.check]", findings).map(|table| check::read(table, findings));
    let servers = table.tables("server", "[[service.server]]", findings);
    let at = table.at;
    table.finish_knowing(&HOMES, findings);
    DraftService {
        at,
        name,
        vip,
        protocol,
        port,
        scheduler,
        forward,
        check,
        servers: servers.into_iter().map(|table| server(table, findings)).collect(),
    }
}

fn server(mut table: Table<'_>, findings: &mut ProblemCollector<'_>) -> DraftServer {
    let name = table.required("name", parsed, findings);
    let address = table.required("address", text(value::host_address), findings);
    let port = table.optional("port", integer(PORTS), findings);
    let weight = table.with_default("weight", integer(0..=65535), 1, findings);
    let agentless = table.with_default("agentless", boolean, false, findings);
    let at = table.at;
    table.finish_knowing(&HOMES, findings);
    DraftServer { at, name, address, port, weight: Weight(weight.unwrap_or(1)), agentless: agentless.unwrap_or(false) }
}

fn protocol(text: &str) -> Decoded<Protocol> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        other => Err(format!("`{}` is not a protocol: use tcp or udp", clip(other))),
    }
}

fn on_quorum_loss(text: &str) -> Decoded<OnQuorumLoss> {
    match text {
        "fallback" => Ok(OnQuorumLoss::Fallback),
        "release" => Ok(OnQuorumLoss::Release),
        other => {
            Err(format!("`{}` is nothing that directors do when the majority is lost: use fallback or release", clip(other)))
        }
    }
}

fn forward(text: &str) -> Decoded<ForwardMethod> {
    match text {
        "dr" => Ok(ForwardMethod::Dr),
        "nat" | "tun" => Err(format!("`{text}` is not supported yet in this version: use dr")),
        other => Err(format!("`{}` is not a forwarding method: use dr", clip(other))),
    }
}
