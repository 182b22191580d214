//! Arguments of `configure`.

use super::security::roles;
use crate::{
    config::value::{interface, node_address},
    model::{NodeName, Roles, TimingProfile, ZoneName},
};
use clap::Args as ClapArgs;
use std::net::SocketAddr;

/// Arguments of `configure`.
#[derive(Clone, PartialEq, Eq, Debug, ClapArgs)]
pub struct ConfigureArgs {
    /// What this node does: director, real-server, witness, or several with commas between.
    #[arg(long, value_name = "ROLES", value_parser = roles)]
    pub roles: Roles,
    /// Where other nodes reach this one: 10.0.0.11 or 10.0.0.11:7400 [default: the address of the default route].
    #[arg(long, value_name = "ADDRESS", value_parser = node_address)]
    pub address: Option<SocketAddr>,
    /// The interface to take the address from; on a director also what the interface of its VIPs is called.
    #[arg(long, value_name = "NAME", value_parser = interface)]
    pub interface: Option<String>,
    /// This node's name in the cluster [default: the host name up to its first dot].
    #[arg(long, value_name = "NAME")]
    pub node: Option<NodeName>,
    /// What fails together with this node: a rack, a room, a power feed.
    #[arg(long, value_name = "ZONE")]
    pub zone: Option<ZoneName>,
    /// Members that `join` asks when none is named, with commas between.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = node_address)]
    pub seeds: Vec<SocketAddr>,
    /// The cluster's timing, where `init` will be run here: fast, lan or wan.
    #[arg(long, value_name = "PROFILE")]
    pub timing: Option<TimingProfile>,
    /// Replace a file that was edited by hand; it is kept beside the new one.
    #[arg(long)]
    pub force: bool,
    /// Only write the file.
    #[arg(long)]
    pub no_service: bool,
    /// Only show the file that would be written.
    #[arg(long)]
    pub dry_run: bool,
    /// One JSON object: what was taken from where, what was written, and how the service stands.
    #[arg(long)]
    pub json: bool,
}
