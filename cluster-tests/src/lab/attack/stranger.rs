//! TLS as anyone speaks it who has no certificate and believes any server: the way to parsers that stand behind the handshake.

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::net::TcpStream;
use std::sync::Arc;

/// The name that nodes' certificates bear.
pub const SERVER_NAME: &str = "node.lvs-agent";

#[derive(Debug)]
struct BelievesAll;

impl ServerCertVerifier for BelievesAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What every connection of a stranger begins with.
#[derive(Clone)]
pub struct Stranger(Arc<ClientConfig>);

impl Stranger {
    /// One without a certificate.
    pub fn new() -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("speak TLS 1.3")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(BelievesAll))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// A stream whose handshake happens with the first byte written or read; it ends when the socket's deadlines do.
    pub fn speak(&self, socket: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from(SERVER_NAME).context("name the server")?;
        let connection = ClientConnection::new(self.0.clone(), name).context("begin TLS")?;
        Ok(StreamOwned::new(connection, socket))
    }
}
