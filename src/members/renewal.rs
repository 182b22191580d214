//! When this node needs another certificate, and which CA keys a director should have. Pure.

use crate::{
    gossip::KeyInventory,
    link::certificate::{Certificate, Subject},
    model::{Fingerprint, KeyId, NodeName, NodeRecord, Role, Roles},
    rules::{ClusterState, security::Authorities},
};
use std::{collections::BTreeSet, time::Duration};

/// This node's certificate as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnCertificate {
    /// What it says.
    pub leaf: Certificate,
    /// The CA that signed it.
    pub issuer: Fingerprint,
}

/// Why a node asks for another certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RenewalReason {
    /// The node has no certificate.
    #[error("there is none yet")]
    Missing,
    /// A third of its life is left, or less.
    #[error("it ends soon")]
    Ends,
    /// The certificate is not valid yet: the signing director's clock was ahead, or this machine's is behind.
    #[error("it is not valid yet")]
    NotYet,
    /// The CA was rotated.
    #[error("the ca was rotated")]
    Issuer,
    /// The member record has another name, number, role or key than the certificate.
    #[error("the member record has another name, number, role or key")]
    Subject,
}

/// Whether this node should ask for a certificate now. `unix_s`: the time. `ahead`: CAs that this node trusts already while its copy of the state
/// is behind; that copy then does not decide about CAs and members.
pub fn needed(
    own: Option<&OwnCertificate>,
    record: &NodeRecord,
    authorities: &Authorities,
    ahead: &BTreeSet<Fingerprint>,
    unix_s: u64,
) -> Option<RenewalReason> {
    let issuing = authorities.issuing?;
    let Some(OwnCertificate { leaf, issuer }) = own else { return Some(RenewalReason::Missing) };
    let said = Subject::Node { name: record.name.clone(), roles: record.roles.clone(), id: Some(record.id) };
    if !ahead.contains(issuer) {
        if *issuer != issuing {
            return Some(RenewalReason::Issuer);
        }
        if leaf.subject != said || leaf.key != Some(record.key) {
            return Some(RenewalReason::Subject);
        }
    }
    if unix_s < leaf.not_before_unix_s {
        return Some(RenewalReason::NotYet);
    }
    (unix_s >= renewed_at(leaf)).then_some(RenewalReason::Ends)
}

/// When a certificate is renewed: two thirds through its life. Unix seconds.
pub fn renewed_at(leaf: &Certificate) -> u64 {
    let life = leaf.not_after_unix_s.saturating_sub(leaf.not_before_unix_s);
    leaf.not_before_unix_s + life / 3 * 2
}

/// The CAs that this node trusts in addition to the state's: until the state knows them, or this node has a certificate from a CA that the state
/// knows.
pub fn still_ahead(
    taken: &BTreeSet<Fingerprint>,
    issuer: Option<Fingerprint>,
    authorities: &Authorities,
) -> BTreeSet<Fingerprint> {
    let unknown: BTreeSet<Fingerprint> = taken.iter().copied().filter(|ca| !authorities.trusted.contains_key(ca)).collect();
    if issuer.is_none_or(|issuer| unknown.contains(&issuer)) { unknown } else { BTreeSet::new() }
}

/// The issuer that a node reports while the cluster's own CA has not given it a certificate. It is no CA's fingerprint, so the node is not taken for
/// one that has followed a rotation, nor for one with an external CA.
const NOBODY: Fingerprint = Fingerprint([0; 32]);

/// The key inventory of a member, with the cluster's own CA. `trusted`: the CAs that TLS accepts; `signs`: CA keys on its disk.
pub fn holds(
    own: Option<&OwnCertificate>,
    keys: BTreeSet<KeyId>,
    trusted: BTreeSet<Fingerprint>,
    signs: BTreeSet<Fingerprint>,
) -> KeyInventory {
    let issuer = Some(own.map_or(NOBODY, |own| own.issuer));
    let certificate_expires_unix_s = own.map(|own| own.leaf.not_after_unix_s);
    KeyInventory { keys, authorities: trusted, issuer, certificate_expires_unix_s, signs }
}

/// Checks that a certificate of an external CA is this node's, and covers these roles.
///
/// # Errors
/// The content of the certificate, and what it should be.
pub fn fits(leaf: &Certificate, node: &NodeName, roles: Option<&Roles>) -> Result<(), String> {
    let Subject::Node { name, roles: certified, .. } = &leaf.subject else {
        return Err(
            "this certificate is a remote identity's: have one made for this node, see `[tls]` in docs/security.md".to_owned()
        );
    };
    if name != node {
        return Err(format!(
            "this certificate says CN {name}, but agent.toml says that this node is {node}: put this node's certificate there, or set `node` right"
        ));
    }
    let lacks: Vec<String> = roles
        .into_iter()
        .flat_map(Roles::iter)
        .filter(|role| !certified.has(*role))
        .map(|role| format!("OU lvs-{role}"))
        .collect();
    if lacks.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this certificate says {certified}, but this node is to be more: have one made that also says {}",
        lacks.join(", ")
    ))
}

/// Whether a part of the state has changed that the renewal depends on. The rest of the state changes with every verdict.
pub fn differs(before: &ClusterState, after: &ClusterState) -> bool {
    let keys = |state: &ClusterState| state.security.keyring.keys.keys().copied().collect::<Vec<_>>();
    before.security.authorities != after.security.authorities || before.nodes != after.nodes || keys(before) != keys(after)
}

/// How long to wait after a failure: twice as long each time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPause(Duration);

impl RetryPause {
    const FIRST: Duration = Duration::from_secs(2);
    const LONGEST: Duration = Duration::from_secs(60);

    /// Before the next attempt.
    pub fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(Self::LONGEST);
        now
    }
}

impl Default for RetryPause {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

/// The CA keys that this node should have: a director needs those of every CA that issues or will issue, other nodes need none.
pub fn wanted_authorities(record: &NodeRecord, authorities: &Authorities) -> BTreeSet<Fingerprint> {
    if !record.roles.has(Role::Director) {
        return BTreeSet::new();
    }
    authorities.issuing.into_iter().chain(authorities.upcoming).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{NodeId, PublicKey},
        rules::{Command, Verdict, fixture},
    };

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

    fn own(role: Role, issuer: Fingerprint) -> OwnCertificate {
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
        OwnCertificate { leaf, issuer }
    }

    fn authorities(issuing: Option<Fingerprint>) -> Authorities {
        Authorities { issuing, ..Authorities::default() }
    }

    fn ask(own: Option<&OwnCertificate>, role: Role, authorities: &Authorities, unix_s: u64) -> Option<RenewalReason> {
        needed(own, &record(role), authorities, &BTreeSet::new(), unix_s)
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
        let (own, ca) = (own(Role::Director, OLD), authorities(Some(OLD)));
        assert_eq!(ask(Some(&own), Role::Director, &ca, 1199), None);
        assert_eq!(ask(Some(&own), Role::Director, &ca, 1200), Some(RenewalReason::Ends));
        assert_eq!(ask(None, Role::Director, &ca, 0), Some(RenewalReason::Missing));
    }

    #[test]
    fn a_certificate_of_the_future_is_replaced() {
        let (own, ca) = (own(Role::Director, OLD), authorities(Some(OLD)));
        assert_eq!(ask(Some(&own), Role::Director, &ca, 999), Some(RenewalReason::NotYet));
        assert_eq!(ask(Some(&own), Role::Director, &ca, 1000), None);
    }

    #[test]
    fn another_ca_or_other_roles_ask_for_another_certificate() {
        let own = own(Role::Director, OLD);
        assert_eq!(ask(Some(&own), Role::Director, &authorities(Some(NEW)), 1000), Some(RenewalReason::Issuer));
        assert_eq!(ask(Some(&own), Role::RealServer, &authorities(Some(OLD)), 1000), Some(RenewalReason::Subject));
    }

    #[test]
    fn certificates_of_somebody_elses_ca_are_not_ours_to_renew() {
        assert_eq!(ask(None, Role::Director, &authorities(None), 9999), None);
    }

    #[test]
    fn a_certificate_of_a_ca_that_was_taken_on_stays_until_the_state_has_caught_up_or_it_ends() {
        let (mut taken, own) = (BTreeSet::from([NEW]), own(Role::Director, NEW));
        let mut state = Authorities { trusted: [(OLD, vec![1])].into(), ..authorities(Some(OLD)) };
        let need = |state: &Authorities, taken: &BTreeSet<Fingerprint>, role, unix_s| {
            needed(Some(&own), &record(role), state, taken, unix_s)
        };
        taken = still_ahead(&taken, Some(NEW), &state);
        assert_eq!(taken, [NEW].into());
        assert_eq!(need(&state, &taken, Role::RealServer, 1000), None, "what a state says that is behind does not count");
        assert_eq!(need(&state, &taken, Role::Director, 1200), Some(RenewalReason::Ends));
        state.trusted.insert(NEW, vec![2]);
        assert_eq!(still_ahead(&taken, Some(NEW), &state), BTreeSet::new(), "it has caught up");
        state.trusted.remove(&NEW);
        assert_eq!(still_ahead(&taken, Some(OLD), &state), BTreeSet::new(), "this node has gone on to a ca that is known");
        assert_eq!(need(&state, &BTreeSet::new(), Role::Director, 1000), Some(RenewalReason::Issuer));
    }

    #[test]
    fn who_has_no_certificate_says_so_and_is_not_taken_for_one_of_somebody_elses_ca() {
        let said = holds(None, [KeyId(1)].into(), [OLD].into(), BTreeSet::new());
        assert_eq!((said.issuer, said.certificate_expires_unix_s), (Some(NOBODY), None));
        assert_eq!((said.keys, said.authorities), ([KeyId(1)].into(), [OLD].into()));
        assert_eq!(holds(Some(&own(Role::Director, OLD)), BTreeSet::new(), BTreeSet::new(), [OLD].into()).issuer, Some(OLD));
    }

    #[test]
    fn a_certificate_for_another_name_or_fewer_roles_is_not_this_nodes() {
        let leaf = own(Role::Director, OLD).leaf;
        let fits = |node: &str, roles: &[Role]| fits(&leaf, &node.parse().unwrap(), Roles::new(roles.iter().copied()).as_ref());
        assert_eq!(fits("n", &[Role::Director]), Ok(()));
        assert_eq!(fits("n", &[]), Ok(()), "no roles are asked for");
        assert!(fits("m", &[]).unwrap_err().contains("says CN n, but agent.toml says that this node is m"));
        assert!(fits("n", &[Role::Director, Role::Witness]).unwrap_err().ends_with("also says OU lvs-witness"));
    }

    #[test]
    fn only_keys_cas_and_members_wake_a_keeper() {
        let before = fixture::cluster();
        let mut after = before.clone();
        after.apply(&Command::Verdicts(vec![fixture::verdict_change("http", "r1", Verdict::Up, "up")])).unwrap();
        assert!(before != after && !differs(&before, &after));
        after.apply(&Command::NodeLeft(fixture::name("r2"))).unwrap();
        assert!(differs(&before, &after));
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let mut pause = RetryPause::default();
        let seconds: Vec<u64> = (0..7).map(|_| pause.next().as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn directors_have_the_keys_of_the_ca_that_issues_and_of_the_next() {
        let rotating = Authorities { upcoming: Some(NEW), ..authorities(Some(OLD)) };
        assert_eq!(wanted_authorities(&record(Role::Director), &rotating), [OLD, NEW].into());
        assert_eq!(wanted_authorities(&record(Role::RealServer), &rotating), BTreeSet::new());
    }
}
