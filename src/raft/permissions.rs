//! Which changes a member may have committed by asking the leader. Pure.

use crate::{model::NodeRecord, peers::is_plausible, rules::Command};

/// Whether another node may have `change` committed by asking the leader. A member may propose changes about itself; a director also changes
/// of rules and of security state. Members do not propose verdicts, founding and admission: a leader decides these from what it has verified.
pub fn may_propose(peer: &NodeRecord, director: bool, change: &Command) -> bool {
    match change {
        Command::NodeLeft(name) => director || *name == peer.name,
        Command::NodeJoined(joining) => {
            joining.name == peer.name
                && joining.key == peer.key
                && joining.roles == peer.roles
                && joining.keeps_id
                && joining.token.is_none()
                && is_plausible(joining.addr)
        }
        Command::NodeRemoved(_) | Command::Apply { .. } | Command::NodeRoles { .. } | Command::Security(_) => director,
        Command::Init { .. } | Command::Verdicts(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{PublicKey, Role, Roles, Secret},
        rules::{
            Joining, RuleSet, SecurityChange,
            fixture::{cluster, joining, name},
        },
    };

    fn roles(roles: &[Role]) -> Roles {
        Roles::new(roles.iter().copied()).unwrap()
    }

    #[test]
    fn members_change_what_is_theirs_and_directors_the_rules() {
        let state = cluster();
        let (d1, r1) = (&state.nodes[&name("d1")], &state.nodes[&name("r1")]);
        let rules = Command::Apply { base_revision: None, rules: RuleSet::default() };
        let left = |node: &str| Command::NodeLeft(name(node));
        let roles_of = Command::NodeRoles { name: name("r1"), roles: roles(&[Role::Director]) };
        let key = Command::Security(SecurityChange::KeyAdded { key: Secret::new([1; 32]), departures: None });
        for (change, by_director, by_server) in [
            (rules, true, false),
            (left("r1"), true, true),
            (left("d1"), true, false),
            (Command::NodeRemoved(name("r1")), true, false),
            (roles_of, true, false),
            (key, true, false),
            (Command::Verdicts(Vec::new()), false, false),
            (Command::NodeJoined(joining("new", 99, Role::RealServer)), false, false),
        ] {
            assert_eq!(may_propose(d1, true, &change), by_director, "a director: {change}");
            assert_eq!(may_propose(r1, false, &change), by_server, "a real server: {change}");
            let own = matches!(&change, Command::NodeLeft(name) if *name == d1.name);
            assert_eq!(may_propose(d1, false, &change), own, "a director whose certificate does not say so: {change}");
        }
        let moved = Joining { keeps_id: true, ..joining("r1", 77, Role::RealServer) };
        let moved = Joining { key: r1.key, ..moved };
        assert!(may_propose(r1, false, &Command::NodeJoined(moved.clone())), "its own address");
        for forged in [
            Joining { roles: roles(&[Role::Director]), ..moved.clone() },
            Joining { key: PublicKey([1; 32]), ..moved.clone() },
            Joining { keeps_id: false, ..moved.clone() },
            Joining { name: name("d1"), ..moved.clone() },
            Joining { addr: "0.0.0.0:7420".parse().unwrap(), ..moved.clone() },
            Joining { addr: "255.255.255.255:7420".parse().unwrap(), ..moved.clone() },
            Joining { addr: "[::ffff:224.0.0.1]:7420".parse().unwrap(), ..moved.clone() },
            Joining { addr: "192.0.2.77:0".parse().unwrap(), ..moved },
        ] {
            assert!(!may_propose(r1, false, &Command::NodeJoined(forged.clone())), "{forged:?}");
        }
    }
}
