//! The settings of a join, from agent.toml: what the node asks for, and which addresses it asks.

use super::{join_task::JoinSettings, renewal_task};
use crate::{
    base::build::VERSION,
    config::AgentConfig,
    link::{tls::Credentials, token::JoinToken},
    model::NodeName,
    rules::ClusterState,
};
use std::{collections::BTreeSet, net::SocketAddr};

/// The credentials that agent.toml's `[tls]` names, if the certificate is this node's.
pub fn external(config: &AgentConfig) -> Result<Option<Credentials>, String> {
    let credentials = config.tls.as_ref().map(|tls| {
        let (presented, trust) = renewal_task::external(config, tls, Some(&config.roles))?;
        Credentials::new(presented, trust).map_err(|error| error.to_string())
    });
    credentials.transpose()
}

/// The join settings of this node, from its configuration.
pub fn join_settings(config: &AgentConfig, token: Option<JoinToken>) -> Result<JoinSettings, String> {
    Ok(JoinSettings {
        data_dir: config.data_dir.clone(),
        name: config.node.clone(),
        roles: config.roles.clone(),
        addr: config.address,
        zone: config.zone.clone(),
        version: VERSION.to_owned(),
        token,
        external: external(config)?,
        timing: None,
    })
}

/// Where to find the cluster: the configured seeds and every other member.
pub fn gossip_seeds(state: &ClusterState, me: &NodeName, configured: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let members = state.nodes.values().filter(|node| node.name != *me).map(|node| node.addr);
    configured.iter().copied().chain(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        Command,
        fixture::{cluster, host, name},
    };

    #[test]
    fn seeds_are_the_configured_ones_and_every_other_member() {
        let seeds = |state: &ClusterState, configured: &[SocketAddr]| {
            gossip_seeds(state, &name("d1"), configured).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let elsewhere: SocketAddr = (host(50), 7420).into();
        let known: SocketAddr = (host(12), 7420).into();
        let members = ["192.0.2.12:7420", "192.0.2.21:7420", "192.0.2.22:7420"];
        assert_eq!(seeds(&cluster(), &[]), members);
        assert_eq!(seeds(&cluster(), &[known]), members, "a configured member is asked once");
        assert_eq!(seeds(&cluster(), &[elsewhere]), [&members[..], &["192.0.2.50:7420"]].concat());
        assert_eq!(seeds(&ClusterState::default(), &[elsewhere]), ["192.0.2.50:7420"]);
        let mut left = cluster();
        left.apply(&Command::NodeLeft(name("r2"))).unwrap();
        assert_eq!(seeds(&left, &[]), members[..2]);
    }
}
