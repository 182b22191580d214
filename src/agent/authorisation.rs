//! Who may do what over the remote API.

use super::member::Stage;
use crate::{
    api::{Authoriser, RemoteAdmin},
    clock::{BootClock, Clock},
    link::certificate::{Certificate, Subject},
    model::Access,
    rules::ClusterState,
};
use tokio::sync::watch;

/// Lets in whom the cluster's state knows at the moment of the request.
pub struct Membership {
    stage: watch::Receiver<Stage>,
}

impl Membership {
    /// `stage` has the running member, if this node is one.
    pub fn new(stage: watch::Receiver<Stage>) -> Self {
        Self { stage }
    }
}

impl Authoriser for Membership {
    fn access(&self, certificate: &Certificate) -> Result<RemoteAdmin, String> {
        let member = self.stage.borrow().member().map_err(|why| why.to_string())?;
        access(&member.state(), certificate, BootClock.unix_now().as_secs())
    }
}

fn access(state: &ClusterState, certificate: &Certificate, unix_s: u64) -> Result<RemoteAdmin, String> {
    let own_ca = state.security.authorities.issuing.is_some();
    if own_ca && certificate.cluster_id.as_deref() != Some(state.cluster_id.as_str()) {
        return Err("this certificate is another cluster's".to_owned());
    }
    match &certificate.subject {
        Subject::Identity { name, access } if own_ca => {
            let known = state.security.identities.get(name).filter(|known| known.certificate == certificate.fingerprint);
            let known = known.ok_or_else(|| {
                format!("the certificate of {name} was revoked or replaced: make one with `lvs-agent identity create {name}`")
            })?;
            if unix_s >= known.expires_unix_s {
                return Err(format!("the certificate of {name} has expired: make one with `lvs-agent identity create {name}`"));
            }
            Ok(RemoteAdmin { name: name.to_string(), access: known.access.min(*access) })
        }
        // Somebody else's CA: what it signed counts until it ends.
        Subject::Identity { name, access } => Ok(RemoteAdmin { name: name.to_string(), access: *access }),
        Subject::Node { name, id, .. } => {
            let known = state.nodes.get(name).filter(|node| id.is_none_or(|id| id == node.id));
            known.ok_or_else(|| format!("{name} is no member of this cluster"))?;
            Ok(RemoteAdmin { name: format!("node {name}"), access: Access::ReadOnly })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{Fingerprint, NodeId, Role, Roles},
        rules::{
            Command, SecurityChange,
            fixture::{cluster, name},
            security::RemoteIdentity,
        },
    };

    const CERTIFICATE: Fingerprint = Fingerprint([5; 32]);

    fn state() -> ClusterState {
        let mut state = cluster();
        let identity = RemoteIdentity {
            access: Access::ReadOnly,
            certificate: CERTIFICATE,
            expires_unix_s: 100,
            authority: Fingerprint([1; 32]),
        };
        state.apply(&Command::Security(SecurityChange::IdentityAdded { name: name("grafana"), identity })).unwrap();
        state
    }

    fn certificate(subject: Subject) -> Certificate {
        Certificate {
            fingerprint: CERTIFICATE,
            subject,
            cluster_id: Some("test".to_owned()),
            key: None,
            not_before_unix_s: 0,
            not_after_unix_s: 100,
            der: Vec::new(),
        }
    }

    fn grafana(access: Access) -> Certificate {
        certificate(Subject::Identity { name: name("grafana"), access })
    }

    #[test]
    fn an_identity_may_do_what_it_was_registered_for_and_no_more() {
        let caller = access(&state(), &grafana(Access::Admin), 99).unwrap();
        assert_eq!((caller.name.as_str(), caller.access), ("grafana", Access::ReadOnly));
    }

    #[test]
    fn expired_revoked_replaced_and_foreign_identities_are_refused() {
        let mut state = state();
        assert!(access(&state, &grafana(Access::ReadOnly), 100).unwrap_err().contains("expired"));
        let replaced = Certificate { fingerprint: Fingerprint([6; 32]), ..grafana(Access::ReadOnly) };
        assert!(access(&state, &replaced, 1).unwrap_err().contains("replaced"));
        let foreign = Certificate { cluster_id: Some("other".to_owned()), ..grafana(Access::ReadOnly) };
        assert!(access(&state, &foreign, 1).unwrap_err().contains("another cluster"));
        state.apply(&Command::Security(SecurityChange::IdentityRevoked(name("grafana")))).unwrap();
        assert!(access(&state, &grafana(Access::ReadOnly), 1).is_err());
    }

    #[test]
    fn members_may_look_and_former_members_may_not() {
        let roles = Roles::new([Role::Director]).unwrap();
        let node = |id| certificate(Subject::Node { name: name("d1"), roles: roles.clone(), id: Some(NodeId(id)) });
        assert_eq!(access(&state(), &node(1), 1).unwrap().access, Access::ReadOnly);
        assert!(access(&state(), &node(9), 1).is_err());
    }
}
