//! A CA against what reads and checks its certificates.

use super::*;
use crate::{link::certificate::Subject, model::Role};
use proptest::prelude::*;
use x509_parser::certificate::X509Certificate;

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn sign(ca: &Authority, key: &NodeKey, now: Duration) -> Certificate {
    let (name, roles) = ("d1".parse().unwrap(), Roles::new([Role::Director]).unwrap());
    ca.sign_node(&request(key), &NodeSubject { cluster_id: "c1", name: &name, id: NodeId(1), roles: &roles }, now).unwrap()
}

#[test]
fn a_ca_is_the_same_after_it_was_stored() {
    let ca = Authority::make("c1", NOW);
    let read = Authority::from_parts(ca.certificate(), &ca.pkcs8()).unwrap();
    assert_eq!((read.certificate(), read.fingerprint()), (ca.certificate(), ca.fingerprint()));
    let signed = sign(&read, &NodeKey::generate(), NOW);
    let (_, issuer) = X509Certificate::from_der(ca.certificate()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&signed.der).unwrap();
    assert_eq!(leaf.issuer(), issuer.subject());
    leaf.verify_signature(Some(issuer.public_key())).unwrap();
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (ca, other) = (Authority::make("c1", NOW), Authority::make("c1", NOW));
    let error = Authority::from_parts(ca.certificate(), &other.pkcs8()).unwrap_err();
    assert!(error.to_string().contains("for another key"), "{error}");
    let key = NodeKey::generate();
    let leaf = sign(&ca, &key, NOW);
    let error = Authority::from_parts(&leaf.der, key.pkcs8()).unwrap_err();
    assert!(error.to_string().contains("may not sign others"), "{error}");
    assert!(Authority::from_parts(b"", &ca.pkcs8()).is_err());
    assert!(Authority::from_parts(ca.certificate(), b"").is_err());
}

#[test]
fn a_ca_may_sign_leaves_only_and_lasts_ten_years() {
    let ca = Authority::make("c1", NOW);
    let (_, x509) = X509Certificate::from_der(ca.certificate()).unwrap();
    let constraints = x509.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    assert_eq!(x509.validity().not_after.timestamp(), (NOW + AUTHORITY_LIFETIME).as_secs().cast_signed());
    // Two CAs of one cluster have two names.
    let other = Authority::make("c1", NOW);
    assert_ne!(x509.subject(), X509Certificate::from_der(other.certificate()).unwrap().1.subject());
}

#[test]
fn a_node_s_certificate_is_for_both_sides_of_tls_and_begins_a_day_ago() {
    let (ca, key) = (Authority::make("c1", NOW), NodeKey::generate());
    let signed = sign(&ca, &key, NOW);
    assert_eq!(signed.key, Some(key.public()));
    assert_eq!(signed.not_before_unix_s, (NOW - BACKDATED).as_secs());
    assert_eq!(signed.not_after_unix_s, (NOW + NODE_LIFETIME).as_secs());
    let (_, x509) = X509Certificate::from_der(&signed.der).unwrap();
    let usage = x509.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && usage.client_auth && !usage.any);
    assert!(!x509.is_ca());
    assert_ne!(sign(&ca, &key, NOW).fingerprint, signed.fingerprint, "the same serial number twice");
}

#[test]
fn a_remote_identity_cannot_be_a_server() {
    let ca = Authority::make("c1", NOW);
    let (made, _) = ca.make_identity("c1", &"alice".parse().unwrap(), Access::Admin, NODE_LIFETIME, NOW).unwrap();
    let (_, x509) = X509Certificate::from_der(&made.der).unwrap();
    let usage = x509.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
}

#[test]
fn a_clock_that_is_far_off_makes_certificates_not_panics() {
    for now in [Duration::ZERO, Duration::from_secs(LAST_UNIX_S), Duration::MAX] {
        let ca = Authority::make("c1", now);
        assert!(matches!(sign(&ca, &NodeKey::generate(), now).subject, Subject::Node { .. }));
    }
}

#[test]
fn a_request_is_for_the_key_that_signed_it() {
    let key = NodeKey::generate();
    let csr = request(&key);
    assert_eq!(requested_key(&csr), Ok(key.public()));

    // Another's key in it, of which this node has no private half.
    let other = NodeKey::generate().public();
    let at = csr.windows(32).position(|window| window == key.public().0).unwrap();
    let mut forged = csr.clone();
    forged[at..at + 32].copy_from_slice(&other.0);
    assert!(requested_key(&forged).unwrap_err().to_string().contains("not signed with the key"));

    let elliptic = KeyPair::generate().unwrap();
    let elliptic = CertificateParams::default().serialize_request(&elliptic).unwrap();
    assert!(requested_key(elliptic.der()).unwrap_err().to_string().contains("not an Ed25519 key"));

    assert!(requested_key(&[csr.as_slice(), &[0]].concat()).is_err());
    assert!(requested_key(&vec![0x30; MAX_REQUEST_BYTES + 1]).unwrap_err().to_string().contains("too long"));
}

#[test]
fn a_private_key_is_not_shown() {
    let ca = Authority::make("c1", NOW);
    assert_eq!(format!("{ca:?}"), format!("ca {}", ca.fingerprint()));
}

proptest! {
    #[test]
    fn random_bytes_are_no_request(bytes: Vec<u8>) {
        prop_assert!(requested_key(&bytes).is_err());
    }

    #[test]
    fn a_changed_request_is_for_nobody_else(bit: prop::sample::Index) {
        let key = NodeKey::generate();
        let mut csr = request(&key);
        let bit = bit.index(csr.len() * 8);
        csr[bit / 8] ^= 1 << (bit % 8);
        // What is around the signed part may be written in more than one way.
        prop_assert!(requested_key(&csr).is_err() || requested_key(&csr) == Ok(key.public()), "with bit {} flipped", bit);
    }
}
