//! What this process presents and trusts on TLS 1.3 streams (rustls, ring): one holder, replaced as a whole while connections go on.
//!
//! - TLS 1.3 only, no resumption, no tickets, no early data: each connection is a whole handshake with what is presented and trusted then.
//! - Both sides check the other's chain, its dates and its key usage (serverAuth, clientAuth), but no host name: who it is, the caller reads
//!   in the certificate and holds against the cluster's records.
//! - The dates of the CAs themselves do not count: a CA is trusted while it is in the list.

mod error;
mod verify;

pub use error::TlsError;
pub(super) use verify::{NotPinned, Seen};

use super::{
    certificate::{self, Certificate},
    fingerprint::fingerprint,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};
use verify::{Anchors, Verifier};
use zeroize::Zeroizing;

/// Most certificates of a chain, and most trusted CAs.
pub const MAX_CERTIFICATES: usize = 16;

/// A certificate chain, leaf first, with its private key.
pub struct Presented {
    /// DER, leaf first. A node of a cluster with its own CA sends that CA's certificate last, for those who join with a token.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8; of certificates made elsewhere also PKCS#1 (RSA) or SEC1 (ECDSA).
    pub key: Zeroizing<Vec<u8>>,
}

/// Whom to believe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Whoever one of these CAs (DER) has signed. Nobody, if there are none.
    Authorities(Vec<Vec<u8>>),
    /// A server whose chain ends in the CA whose fingerprint begins so: a node that joins with a token. Such a holder asks no client for a
    /// certificate.
    Pinned([u8; 16]),
}

/// Clones share what is in it.
#[derive(Clone)]
pub struct Credentials {
    present: Arc<RwLock<Arc<Material>>>,
}

/// What a handshake is made with.
struct Material {
    provider: Arc<CryptoProvider>,
    identity: Identity,
    anchors: Anchors,
}

impl Credentials {
    /// `presented` is `None` for a client that has no certificate (yet).
    ///
    /// # Errors
    /// A chain whose first certificate is not of our form or not for this key; a key that *ring* cannot sign with; a CA that is none.
    pub fn new(presented: Option<Presented>, trust: Trust) -> Result<Self, TlsError> {
        Ok(Self { present: Arc::new(RwLock::new(Arc::new(Material::new(presented, trust)?))) })
    }

    /// Takes effect with the next handshake.
    ///
    /// # Errors
    /// As [`Credentials::new`]; what was there stays.
    pub fn replace(&self, presented: Option<Presented>, trust: Trust) -> Result<(), TlsError> {
        let material = Arc::new(Material::new(presented, trust)?);
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }

    /// For accepting. Clients without a certificate are let through: who may ask what without one is the server's decision.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.server_noting(&Arc::default())
    }

    /// For connecting.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client_noting(&Arc::default())
    }

    /// [`Credentials::server`] for one handshake, which leaves in `seen` what the client has shown.
    pub(super) fn server_noting(&self, seen: &Arc<Seen>) -> Arc<ServerConfig> {
        let material = self.material();
        let mut config = ServerConfig::builder_with_provider(material.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .with_client_cert_verifier(material.verifier(seen))
            .with_cert_resolver(Arc::new(material.identity.clone()));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// [`Credentials::client`] for one handshake, which leaves in `seen` what the server has shown.
    pub(super) fn client_noting(&self, seen: &Arc<Seen>) -> Arc<ClientConfig> {
        let material = self.material();
        let mut config = ClientConfig::builder_with_provider(material.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("ring speaks TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(material.verifier(seen))
            .with_client_cert_resolver(Arc::new(material.identity.clone()));
        config.resumption = Resumption::disabled();
        // The name would go over the network in the clear, and means nothing here.
        config.enable_sni = false;
        Arc::new(config)
    }

    fn material(&self) -> Arc<Material> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = self.material();
        match material.identity.0.as_ref().and_then(|own| own.cert.first()) {
            Some(own) => write!(f, "certificate {}", fingerprint(own)),
            None => f.write_str("no certificate"),
        }
    }
}

impl Material {
    fn new(presented: Option<Presented>, trust: Trust) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let identity = Identity(presented.map(|own| certified(&own.chain, &own.key)).transpose()?.map(Arc::new));
        let anchors = match trust {
            Trust::Authorities(authorities) => Anchors::roots(roots(&authorities)?, &provider)?,
            Trust::Pinned(pin) => Anchors::Pinned(pin),
        };
        Ok(Self { provider, identity, anchors })
    }

    fn verifier(&self, seen: &Arc<Seen>) -> Arc<Verifier> {
        let algorithms = self.provider.signature_verification_algorithms;
        Arc::new(Verifier { anchors: self.anchors.clone(), algorithms, seen: seen.clone() })
    }
}

/// What is presented, to whomever.
#[derive(Clone, Debug)]
struct Identity(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Identity {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// A chain and its key, if they can be presented.
pub(super) fn certified(chain: &[Vec<u8>], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let leaf = chain.first().ok_or_else(|| TlsError("there is no certificate".to_owned()))?;
    let certificate = Certificate::parse(leaf).map_err(|error| TlsError(error.to_string()))?;
    within_limit(chain)?;
    for (at, der) in chain.iter().enumerate() {
        certificate::read(der).map_err(|error| TlsError(format!("certificate {} of the chain: {error}", at + 1)))?;
    }
    let key = signing_key(key)?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let certified = CertifiedKey::new(chain, key);
    if certified.keys_match().is_err() {
        let public = certified
            .key
            .public_key()
            .map_or_else(String::new, |public| format!(" (SHA-256 of its public half: {})", fingerprint(&public)));
        return Err(TlsError(format!(
            "the certificate (fingerprint {}) and the private key{public} do not belong together",
            certificate.fingerprint
        )));
    }
    Ok(certified)
}

/// A private key in any of the three forms, without a copy that nobody wipes.
fn signing_key(der: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, TlsError> {
    const KINDS: &str = "use an Ed25519, ECDSA P-256 or P-384, or RSA key of 2048 to 4096 bits, not encrypted";
    let key = PrivateKeyDer::try_from(der).map_err(|_| TlsError(format!("the private key cannot be read: {KINDS}")))?;
    rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| TlsError(format!("the private key is of no kind that can be used: {KINDS}")))
}

/// Whether one of these CAs has signed a chain (leaf first) as a node's, and it is valid at this time.
///
/// # Errors
/// Why not, in words that go after the chain's name.
pub fn verify(chain: &[Vec<u8>], authorities: &[Vec<u8>], unix_s: u64) -> Result<(), TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let anchors = Anchors::roots(roots(authorities)?, &provider)?;
    within_limit(chain)?;
    let ders: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let (leaf, others) = ders.split_first().ok_or_else(|| TlsError("there is no certificate".to_owned()))?;
    Verifier { anchors, algorithms, seen: Arc::default() }.both_sides(leaf, others, unix_s)
}

/// CAs, if all of them are some.
pub(super) fn roots(authorities: &[Vec<u8>]) -> Result<RootCertStore, TlsError> {
    within_limit(authorities)?;
    let mut roots = RootCertStore::empty();
    for der in authorities {
        let bad = |why: &dyn fmt::Display| TlsError(format!("ca certificate {} cannot be used: {why}", fingerprint(der)));
        let x509 = certificate::read(der).map_err(|error| bad(&error))?;
        if !certificate::is_authority(&x509) {
            return Err(bad(&"it may not sign others (no basicConstraints CA:TRUE)"));
        }
        roots.add(CertificateDer::from(der.clone())).map_err(|error| bad(&error))?;
    }
    Ok(roots)
}

fn within_limit(certificates: &[Vec<u8>]) -> Result<(), TlsError> {
    match certificates.len() {
        ..=MAX_CERTIFICATES => Ok(()),
        count => Err(TlsError(format!("{count} certificates are more than {MAX_CERTIFICATES}"))),
    }
}
