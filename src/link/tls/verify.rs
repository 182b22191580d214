//! Whether the other side of a handshake is believed, and what it has shown, for the words of a refusal.

use super::error::TlsError;
use crate::link::{
    certificate::{self, BadCertificate, Certificate, Subject},
    fingerprint::fingerprint,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// What a chain must end in.
#[derive(Clone, Debug)]
pub(super) enum Anchors {
    /// One of these.
    Roots {
        servers: Arc<RootCertStore>,
        /// `None` if there are none: nobody could be believed, so nobody is asked.
        clients: Option<Arc<dyn ClientCertVerifier>>,
    },
    /// The presented CA whose fingerprint begins so.
    Pinned([u8; 16]),
}

impl Anchors {
    pub(super) fn roots(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let servers = Arc::new(roots);
        if servers.is_empty() {
            return Ok(Anchors::Roots { servers, clients: None });
        }
        let clients = WebPkiClientVerifier::builder_with_provider(servers.clone(), provider.clone())
            .allow_unauthenticated()
            // Who we trust is not told to everybody who connects; our clients present what they have.
            .clear_root_hint_subjects()
            .build()
            .map_err(|error| TlsError(error.to_string()))?;
        Ok(Anchors::Roots { servers, clients: Some(clients) })
    }
}

/// The presented chain holds no CA that the join token names.
#[derive(Debug, thiserror::Error)]
#[error("no ca in the presented chain has the fingerprint that the token names")]
pub(in crate::link) struct NotPinned;

/// The leaf that the other side of one handshake has shown, believed or not.
#[derive(Debug, Default)]
pub(in crate::link) struct Seen(OnceLock<Result<Certificate, BadCertificate>>);

impl Seen {
    fn note(&self, leaf: &[u8]) {
        self.0.get_or_init(|| Certificate::parse(leaf));
    }

    /// In words. It is what the certificate says: nothing here was believed.
    pub(in crate::link) fn describe(&self) -> String {
        match self.0.get() {
            None => "it has shown none".to_owned(),
            Some(Err(error)) => error.to_string(),
            Some(Ok(shown)) => {
                let whose = match &shown.subject {
                    Subject::Node { name, .. } => format!("node {name}"),
                    Subject::Identity { name, .. } => format!("remote identity {name}"),
                };
                let cluster = shown.cluster_id.as_ref().map(|id| format!(" of cluster {id}")).unwrap_or_default();
                format!("it says {whose}{cluster}, fingerprint {}", shown.fingerprint)
            }
        }
    }
}

/// Checks one handshake's other side.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) anchors: Anchors,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) seen: Arc<Seen>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.seen.note(leaf);
        let roots = match &self.anchors {
            Anchors::Roots { servers, .. } => servers.clone(),
            Anchors::Pinned(pin) => Arc::new(pinned(others, pin)?),
        };
        let leaf = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&leaf, &roots, others, now, self.algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// Whether a chain is believed of a server and of a client, as a node is both.
    pub(super) fn both_sides(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        unix_s: u64,
    ) -> Result<(), TlsError> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        let nobody = ServerName::try_from("node.lvs-agent").expect("this is a DNS name");
        let server = self.verify_server_cert(leaf, others, &nobody, &[], now).map(|_| ());
        server.and_then(|()| self.verify_client_cert(leaf, others, now).map(|_| ())).map_err(|error| TlsError(words(&error)))
    }

    fn clients(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        match &self.anchors {
            Anchors::Roots { clients, .. } => clients.as_ref(),
            Anchors::Pinned(_) => None,
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.clients().is_some()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients().map_or(&[], |clients| clients.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.seen.note(leaf);
        match self.clients() {
            Some(clients) => clients.verify_client_cert(leaf, others, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a chain of this node's own is worth nothing.
fn words(error: &Error) -> String {
    let Error::InvalidCertificate(why) = error else { return error.to_string() };
    match why {
        CertificateError::UnknownIssuer => "no ca that is trusted has signed it".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has ended, by this machine's clock".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet, by this machine's clock".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "a node's certificate has the extended key usages serverAuth and clientAuth, this one has not".to_owned()
        }
        other => other.to_string(),
    }
}

/// The CA that is pinned, from what the server sends: then all else is checked against it.
fn pinned(presented: &[CertificateDer<'_>], pin: &[u8; 16]) -> Result<RootCertStore, Error> {
    let is_pinned = |der: &&CertificateDer<'_>| {
        fingerprint(der).0.starts_with(pin) && certificate::read(der).is_ok_and(|x509| certificate::is_authority(&x509))
    };
    let not_pinned = || Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(NotPinned))));
    let authority = presented.iter().find(is_pinned).ok_or_else(not_pinned)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned()).map_err(|_| not_pinned())?;
    Ok(roots)
}
