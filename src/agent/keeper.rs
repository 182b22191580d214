//! When this node needs another certificate, and which CA keys a director should have. Pure.

use crate::{
    link::certificate::{Certificate, Subject},
    model::{Fingerprint, NodeRecord, Role},
    rules::security::Authorities,
};
use std::collections::BTreeSet;

/// This node's certificate as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// What it says.
    pub leaf: Certificate,
    /// The CA that signed it.
    pub issuer: Fingerprint,
}

/// Why a node asks for another certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Need {
    /// It has none.
    #[error("there is none yet")]
    Missing,
    /// A third of its life is left, or less.
    #[error("it ends soon")]
    Ends,
    /// The CA was rotated.
    #[error("the ca was rotated")]
    Issuer,
    /// It says something else than the cluster's list of members.
    #[error("the cluster knows this node otherwise")]
    Subject,
}

/// Whether this node should ask for a certificate now. `unix_s`: the time.
pub fn needed(own: Option<&Own>, record: &NodeRecord, authorities: &Authorities, unix_s: u64) -> Option<Need> {
    let issuing = authorities.issuing?;
    let Some(Own { leaf, issuer }) = own else { return Some(Need::Missing) };
    if *issuer != issuing {
        return Some(Need::Issuer);
    }
    let said = Subject::Node { name: record.name.clone(), roles: record.roles.clone(), id: Some(record.id) };
    if leaf.subject != said || leaf.key != Some(record.key) {
        return Some(Need::Subject);
    }
    (unix_s >= renewed_at(leaf)).then_some(Need::Ends)
}

/// When a certificate is renewed: two thirds through its life. Unix seconds.
pub fn renewed_at(leaf: &Certificate) -> u64 {
    let life = leaf.not_after_unix_s.saturating_sub(leaf.not_before_unix_s);
    leaf.not_before_unix_s + life / 3 * 2
}

/// CA keys that this node should have: directors those of every CA that issues or will, others none.
pub fn wanted_authorities(record: &NodeRecord, authorities: &Authorities) -> BTreeSet<Fingerprint> {
    if !record.roles.has(Role::Director) {
        return BTreeSet::new();
    }
    authorities.issuing.into_iter().chain(authorities.upcoming).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeId, PublicKey, Roles};

    const OLD: Fingerprint = Fingerprint([1; 32]);
    const NEW: Fingerprint = Fingerprint([2; 32]);

    fn record(role: Role) -> NodeRecord {
        NodeRecord {
            id: NodeId(3),
            name: "n".parse().unwrap(),
            roles: Roles::new([role]).unwrap(),
            addr: "192.0.2.1:7400".parse().unwrap(),
            zone: None,
            key: PublicKey([7; 32]),
        }
    }

    fn own(role: Role, issuer: Fingerprint) -> Own {
        let NodeRecord { name, roles, id, key, .. } = record(role);
        let leaf = Certificate {
            fingerprint: Fingerprint([9; 32]),
            subject: Subject::Node { name, roles, id: Some(id) },
            cluster_id: Some("c".to_owned()),
            key: Some(key),
            not_before_unix_s: 1000,
            not_after_unix_s: 1300,
            der: Vec::new(),
        };
        Own { leaf, issuer }
    }

    fn authorities(issuing: Option<Fingerprint>) -> Authorities {
        Authorities { issuing, ..Authorities::default() }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let (own, ca) = (own(Role::Director, OLD), authorities(Some(OLD)));
        assert_eq!(needed(Some(&own), &record(Role::Director), &ca, 1199), None);
        assert_eq!(needed(Some(&own), &record(Role::Director), &ca, 1200), Some(Need::Ends));
        assert_eq!(needed(None, &record(Role::Director), &ca, 0), Some(Need::Missing));
    }

    #[test]
    fn another_ca_or_other_roles_ask_for_another_certificate() {
        let own = own(Role::Director, OLD);
        assert_eq!(needed(Some(&own), &record(Role::Director), &authorities(Some(NEW)), 1000), Some(Need::Issuer));
        assert_eq!(needed(Some(&own), &record(Role::RealServer), &authorities(Some(OLD)), 1000), Some(Need::Subject));
    }

    #[test]
    fn certificates_of_somebody_elses_ca_are_not_ours_to_renew() {
        assert_eq!(needed(None, &record(Role::Director), &authorities(None), 9999), None);
    }

    #[test]
    fn directors_have_the_keys_of_the_ca_that_issues_and_of_the_next() {
        let rotating = Authorities { upcoming: Some(NEW), ..authorities(Some(OLD)) };
        assert_eq!(wanted_authorities(&record(Role::Director), &rotating), [OLD, NEW].into());
        assert_eq!(wanted_authorities(&record(Role::RealServer), &rotating), BTreeSet::new());
    }
}
