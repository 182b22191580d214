//! The cluster's own CA: makes itself, signs nodes' and remote identities' certificates.
//!
//! All keys are Ed25519 (RFC 8032, RFC 8410). The CA may sign leaves only (path length 0). Its name holds part of its key, so that two CAs of
//! one cluster are never taken for each other.
//!
//! A CA counts as long as it is in the list of trusted CAs: TLS does not look at the dates of what it trusts, so a CA that was never rotated
//! does not stop its cluster after ten years. The dates are there for people and for other programs.

use super::{
    certificate::{self, Certificate, IDENTITY_SAN, NODE_SAN, access_word, role_words},
    node_key::NodeKey,
};
use crate::model::{Access, Fingerprint, IdentityName, NodeId, NodeName, PublicKey, Roles};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SignatureAlgorithm,
};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ED25519, UnparsedPublicKey},
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::{fmt, time::Duration};
use time::OffsetDateTime;
use x509_parser::{certification_request::X509CertificationRequest, oid_registry::OID_SIG_ED25519, prelude::FromDer};
use zeroize::Zeroizing;

/// How long a node's certificate lasts. It is renewed after two thirds of that.
pub const NODE_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// How long a CA lasts: rotating it is an operator's decision.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Certificates are valid from so long before they are made, for machines whose clocks are slow.
pub const BACKDATED: Duration = Duration::from_secs(86_400);
/// Most bytes of a certificate request. Ours have about 200.
pub const MAX_REQUEST_BYTES: usize = 4 << 10;

/// The last second that a certificate can name (RFC 5280 §4.1.2.5): 9999-12-31T23:59:59Z.
const LAST_UNIX_S: u64 = 253_402_300_799;
/// subject serialNumber (RFC 4519 §2.31).
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// A CA with its private key (Ed25519), wiped when dropped.
pub struct Authority {
    certificate: Vec<u8>,
    key: NodeKey,
}

/// Why nothing was signed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored CA cannot be used.
    #[error("not a ca certificate with its key: {0}")]
    Unusable(String),
    /// The request is no good.
    #[error("the certificate request cannot be signed: {0}")]
    Request(String),
}

/// What a node's certificate is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSubject<'a> {
    /// The cluster.
    pub cluster_id: &'a str,
    /// The node.
    pub name: &'a NodeName,
    /// Its number.
    pub id: NodeId,
    /// Its roles.
    pub roles: &'a Roles,
}

impl Authority {
    /// A new CA for a cluster. `now`: Unix time.
    pub fn make(cluster_id: &str, now: Duration) -> Self {
        let key = NodeKey::generate();
        let mut params = params(now, AUTHORITY_LIFETIME);
        params.distinguished_name.push(DnType::CommonName, format!("lvs-agent CA {}", key.public()));
        params.distinguished_name.push(DnType::OrganizationName, cluster_id);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&*signing(&key)).expect("the fields above are all legal");
        Self { certificate: certificate.der().to_vec(), key }
    }

    /// Reads what [`Authority::certificate`] and [`Authority::pkcs8`] gave.
    ///
    /// # Errors
    /// [`AuthorityError::Unusable`]: it is no CA, or the key is another's.
    pub fn from_parts(certificate: &[u8], pkcs8: &[u8]) -> Result<Self, AuthorityError> {
        let unusable = |why: &dyn fmt::Display| AuthorityError::Unusable(why.to_string());
        let x509 = certificate::read(certificate).map_err(|error| unusable(&error))?;
        let key = NodeKey::from_pkcs8(pkcs8).map_err(|error| unusable(&error))?;
        if !certificate::is_authority(&x509) {
            return Err(unusable(&"the certificate may not sign others"));
        }
        if certificate::key(&x509) != Some(key.public()) {
            return Err(unusable(&format_args!("the certificate is for another key than {}", key.public())));
        }
        Ok(Self { certificate: certificate.to_vec(), key })
    }

    /// Its certificate (DER).
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its private key, for the disk and for other directors.
    pub fn pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.pkcs8().to_vec())
    }

    /// SHA-256 of its certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        crate::link::fingerprint::fingerprint(&self.certificate)
    }

    /// Signs a node's request ([`request`]). Gives the certificate and the key that the request proves to hold: the caller decides whether that
    /// key may have it. What the request says of the subject does not count.
    ///
    /// # Errors
    /// [`AuthorityError::Request`]: see [`requested_key`].
    pub fn sign_node(&self, csr: &[u8], subject: &NodeSubject<'_>, now: Duration) -> Result<Certificate, AuthorityError> {
        let key = requested_key(csr)?;
        let mut params = params(now, NODE_LIFETIME);
        params.distinguished_name.push(DnType::CommonName, subject.name.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, role_words(subject.roles));
        params.distinguished_name.push(DnType::OrganizationName, subject.cluster_id);
        params.distinguished_name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), subject.id.0.to_string());
        params.subject_alt_names = vec![dns(NODE_SAN)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign_leaf(params, key)
    }

    /// Makes a remote identity's certificate with a key of its own: (certificate, private key as PKCS#8).
    ///
    /// # Errors
    /// [`AuthorityError`]: the subject makes no certificate that could be read again.
    pub fn make_identity(
        &self,
        cluster_id: &str,
        name: &IdentityName,
        access: Access,
        lifetime: Duration,
        now: Duration,
    ) -> Result<(Certificate, Zeroizing<Vec<u8>>), AuthorityError> {
        let key = NodeKey::generate();
        let mut params = params(now, lifetime);
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, access_word(access));
        params.distinguished_name.push(DnType::OrganizationName, cluster_id);
        params.subject_alt_names = vec![dns(IDENTITY_SAN)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = self.sign_leaf(params, key.public())?;
        Ok((certificate, Zeroizing::new(key.pkcs8().to_vec())))
    }

    fn sign_leaf(&self, mut params: CertificateParams, key: PublicKey) -> Result<Certificate, AuthorityError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let unusable = |error: &dyn fmt::Display| AuthorityError::Unusable(error.to_string());
        let pair = signing(&self.key);
        let issuer =
            Issuer::from_ca_cert_der(&CertificateDer::from(self.certificate.as_slice()), &*pair).map_err(|e| unusable(&e))?;
        let signed = params.signed_by(&SubjectKey(key), &issuer).map_err(|error| unusable(&error))?;
        Certificate::parse(signed.der()).map_err(|error| unusable(&error))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ca {}", self.fingerprint())
    }
}

/// A certificate request (PKCS#10, DER) for a node's key.
pub fn request(key: &NodeKey) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(&*signing(key)).expect("a request without wishes is legal").der().to_vec()
}

/// The key that a request is for and proves to hold.
///
/// # Errors
/// [`AuthorityError::Request`]: too long, not PKCS#10, not an Ed25519 key, or not signed by that key.
pub fn requested_key(csr: &[u8]) -> Result<PublicKey, AuthorityError> {
    let refused = |why: &str| AuthorityError::Request(why.to_owned());
    if csr.len() > MAX_REQUEST_BYTES {
        return Err(refused("it is too long"));
    }
    let Ok(([], request)) = X509CertificationRequest::from_der(csr) else {
        return Err(refused("it is no PKCS#10 request"));
    };
    let info = &request.certification_request_info;
    let ours = [&info.subject_pki.algorithm, &request.signature_algorithm].iter().all(|used| used.algorithm == OID_SIG_ED25519);
    let key: Result<[u8; 32], _> = info.subject_pki.subject_public_key.data.as_ref().try_into();
    let (true, Ok(key)) = (ours, key) else { return Err(refused("its key is not an Ed25519 key")) };
    // Over the bytes as they came, not over what they were understood to mean.
    UnparsedPublicKey::new(&ED25519, key)
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| refused("it is not signed with the key that it is for"))?;
    Ok(PublicKey(key))
}

/// The public key of a leaf.
struct SubjectKey(PublicKey);

impl PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// The key in rcgen's form, wiped when dropped.
fn signing(key: &NodeKey) -> Zeroizing<KeyPair> {
    let der = PrivatePkcs8KeyDer::from(key.pkcs8());
    Zeroizing::new(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("ring has read this key before"))
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("our names are ASCII"))
}

/// A certificate that begins before `now` and lasts for `lifetime` from it, with a number of its own.
fn params(now: Duration, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date(now.saturating_sub(BACKDATED));
    params.not_after = date(now.saturating_add(lifetime));
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).expect("the kernel gives randomness");
    // Positive and never zero, as RFC 5280 §4.1.2.2 wants it.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(serial.to_vec().into());
    params
}

fn date(unix: Duration) -> OffsetDateTime {
    let seconds = unix.as_secs().min(LAST_UNIX_S);
    OffsetDateTime::from_unix_timestamp(seconds.cast_signed()).expect("years up to 9999 are dates")
}

#[cfg(test)]
mod tests;
