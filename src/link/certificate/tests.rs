//! Certificates of both origins, and bytes that are none.

use super::*;
use crate::link::{
    authority::{Authority, NodeSubject, request},
    node_key::NodeKey,
};
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn made_by_openssl(pem: &str) -> Vec<Vec<u8>> {
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(|der| der.unwrap().to_vec()).collect()
}

fn of_our_own(roles: &Roles) -> Certificate {
    let (ca, key) = (Authority::make("c1", NOW), NodeKey::generate());
    let subject = NodeSubject { cluster_id: "c1", name: &"d1".parse().unwrap(), id: NodeId(7), roles };
    ca.sign_node(&request(&key), &subject, NOW).unwrap()
}

#[test]
fn every_mix_of_roles_is_read_as_it_was_signed() {
    for bits in 1..8 {
        let roles = Roles::new((0..3).filter(|bit| bits >> bit & 1 == 1).map(|bit| Role::ALL[bit])).unwrap();
        let certificate = of_our_own(&roles);
        assert_eq!(certificate.subject, Subject::Node { name: "d1".parse().unwrap(), roles, id: Some(NodeId(7)) });
        assert_eq!(certificate.cluster_id.as_deref(), Some("c1"));
        assert_eq!(Certificate::parse(&certificate.der), Ok(certificate));
    }
}

#[test]
fn remote_identities_are_read_as_they_were_signed() {
    let ca = Authority::make("c1", NOW);
    for access in [Access::ReadOnly, Access::Admin] {
        let name: IdentityName = "alice".parse().unwrap();
        let (certificate, key) = ca.make_identity("c1", &name, access, Duration::from_secs(60), NOW).unwrap();
        assert_eq!(certificate.subject, Subject::Identity { name, access });
        assert_eq!(certificate.cluster_id.as_deref(), Some("c1"));
        assert_eq!(certificate.key, Some(NodeKey::from_pkcs8(&key).unwrap().public()));
        assert_eq!(certificate.not_after_unix_s, NOW.as_secs() + 60);
    }
}

#[test]
fn certificates_made_by_openssl_say_who_but_neither_cluster_nor_number() {
    let read = |pem: &str| Certificate::parse(&made_by_openssl(pem)[0]).unwrap();
    let d1 = read(include_str!("../testdata/rsa.pem"));
    let roles = Roles::new([Role::Director, Role::RealServer]).unwrap();
    assert_eq!(d1.subject, Subject::Node { name: "d1".parse().unwrap(), roles, id: None });
    assert_eq!((d1.cluster_id, d1.key), (None, None));
    assert_eq!((d1.not_before_unix_s, d1.not_after_unix_s), (1_577_836_800, 4_733_510_400));

    let w1 = read(include_str!("../testdata/ec.pem"));
    let roles = Roles::new([Role::Witness, Role::RealServer]).unwrap();
    assert_eq!(w1.subject, Subject::Node { name: "w1".parse().unwrap(), roles, id: None });

    let alice = read(include_str!("../testdata/ed25519.pem"));
    assert_eq!(alice.subject, Subject::Identity { name: "alice".parse().unwrap(), access: Access::Admin });
    assert!(alice.key.is_some());
}

#[test]
fn a_wrong_subject_is_refused_with_what_is_wrong() {
    let expected = [
        "no CN",
        "none of lvs-director",
        "CN: `D1` is not a name",
        "`lvs-directors`, which is neither",
        "more than one of node",
        "more than one of node",
        "more than one CN",
        "none of lvs-director",
        "no serialNumber",
    ];
    let wrong = made_by_openssl(include_str!("../testdata/wrong.pem"));
    assert_eq!(wrong.len(), expected.len());
    for (der, expected) in wrong.iter().zip(expected) {
        let error = Certificate::parse(der).unwrap_err();
        assert!(matches!(error, BadCertificate::Subject(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}: not {expected}");
    }
}

#[test]
fn a_ca_is_nobody() {
    assert!(matches!(Certificate::parse(Authority::make("c1", NOW).certificate()), Err(BadCertificate::Subject(_))));
}

#[test]
fn what_is_too_long_or_goes_on_is_unreadable() {
    let mut der = of_our_own(&Roles::new([Role::Witness]).unwrap()).der;
    der.push(0);
    assert!(matches!(Certificate::parse(&der), Err(BadCertificate::Unreadable(_))));
    der.resize(MAX_CERTIFICATE_BYTES + 1, 0);
    assert!(Certificate::parse(&der).unwrap_err().to_string().contains("16385 bytes are more than 16384"));
}

proptest! {
    #[test]
    fn random_bytes_are_no_certificate(bytes: Vec<u8>) {
        prop_assert!(Certificate::parse(&bytes).is_err());
    }

    #[test]
    fn a_changed_certificate_is_never_a_panic_nor_the_same_certificate(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        for pem in [include_str!("../testdata/rsa.pem"), include_str!("../testdata/ed25519.pem")] {
            let der = made_by_openssl(pem).remove(0);
            let mut changed = der.clone();
            changed[at.index(der.len())] = byte;
            if let Ok(read) = Certificate::parse(&changed) {
                prop_assert_eq!(read.fingerprint == fingerprint(&der), changed == der);
            }
            prop_assert!(Certificate::parse(&der[..cut.index(der.len())]).is_err());
        }
    }
}
