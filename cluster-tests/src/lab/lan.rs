//! The LAN: one bridge in the root namespace, one cable to each host.

use super::hosts::{Host, mac_text};
use super::run;
use anyhow::Result;

/// The switch.
pub const BRIDGE: &str = "br0";

/// Builds the switch. Multicast snooping is off: a switch that learns is one more thing that is slow after a fault.
pub fn create_switch() -> Result<()> {
    run::batch(
        "ip",
        &[],
        &[
            "link set lo up".into(),
            format!("link add {BRIDGE} address 06:00:0a:00:00:01 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            format!("link set {BRIDGE} up"),
        ],
    )
}

/// Cables hosts whose namespaces are there, and gives them their addresses.
pub fn plug(hosts: &[Host]) -> Result<()> {
    let mut links = Vec::new();
    let mut hooks = Vec::new();
    for &host in hosts {
        let (port, index) = (host.port(), host.port_index());
        links.push(format!(
            "link add {port} index {index} address 06:00:0a:00:01:{:02x} type veth peer name eth0 address {} netns {host}",
            host.index(),
            mac_text(host.mac()),
        ));
        links.push(format!("link set {port} master {BRIDGE} up"));
        hooks.push(format!("qdisc add dev {port} clsact"));
    }
    run::batch("ip", &[], &links)?;
    run::batch("tc", &[], &hooks)?;
    for &host in hosts {
        run::batch(
            "ip",
            &["-n", host.name()],
            &["link set lo up".into(), "link set eth0 up".into(), format!("addr add {}/24 dev eth0", host.address())],
        )?;
    }
    Ok(())
}

/// Pulls the cable at the switch: nothing that happens on the host after this leaves it.
pub fn unplug(host: Host) -> Result<()> {
    run::quiet("ip", &["link", "del", &host.port()])
}
