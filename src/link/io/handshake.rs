//! TLS over a TCP connection, and the certificate of the other side. The caller sets the deadline.

use crate::link::{
    certificate::Certificate,
    tls::{Credentials, NotPinned, PeerLeaf},
};
use rustls::{AlertDescription, CertificateError, Error, pki_types::ServerName};
use std::{io, sync::Arc};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An encrypted connection.
pub type TlsStream = tokio_rustls::TlsStream<TcpStream>;

/// Connects as a client. The other side has proved the certificate that is given back. Whether it takes *our* certificate is not known yet: in
/// TLS 1.3 it says so only with its first answer, and the first read then fails; put that error through [`explain`].
///
/// # Errors
/// The handshake's, in words that name the cause: an unknown CA, an expired certificate, this machine's clock.
pub async fn connect(stream: TcpStream, credentials: &Credentials) -> io::Result<(TlsStream, Certificate)> {
    let seen = Arc::new(PeerLeaf::default());
    let name = ServerName::try_from("node.lvs-agent").expect("this is a DNS name");
    let connector = TlsConnector::from(credentials.client_noting(&seen));
    let stream = connector.connect(name, stream).await.map_err(|error| explained(error, &seen))?;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.ok_or_else(|| unusable("it has shown no certificate"))?;
    let peer = Certificate::parse(peer).map_err(|error| unusable(&error.to_string()))?;
    Ok((stream.into(), peer))
}

/// Accepts as a server. `None`: the client has no certificate.
///
/// # Errors
/// As [`connect`].
pub async fn accept(stream: TcpStream, credentials: &Credentials) -> io::Result<(TlsStream, Option<Certificate>)> {
    let seen = Arc::new(PeerLeaf::default());
    let acceptor = TlsAcceptor::from(credentials.server_noting(&seen));
    let stream = acceptor.accept(stream).await.map_err(|error| explained(error, &seen))?;
    let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = peer.map(|der| Certificate::parse(der)).transpose().map_err(|error| unusable(&error.to_string()))?;
    Ok((stream.into(), peer))
}

/// The same error in words that name the cause, if it is TLS's; any other error stays as it is. For reads and writes after [`connect`].
pub fn explain(error: io::Error) -> io::Error {
    explained(error, &PeerLeaf::default())
}

fn unusable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other side cannot be told who it is: {why}"))
}

fn explained(error: io::Error, seen: &PeerLeaf) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(tls) => io::Error::new(error.kind(), words(tls, seen)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => io::Error::new(
            error.kind(),
            "the other side has closed the connection in the TLS handshake: is it an lvs-agent's port?",
        ),
        None if error.kind() == io::ErrorKind::ConnectionReset => io::Error::new(
            error.kind(),
            "the other side has cut the connection off before TLS: too many attempts from here have failed lately (wait a minute), or its agent is stopping",
        ),
        None => error,
    }
}

fn words(error: &Error, seen: &PeerLeaf) -> String {
    match error {
        Error::InvalidCertificate(why) => refusal(why, seen),
        Error::AlertReceived(alert) => refused(*alert),
        Error::InvalidMessage(_) => "the other side does not use TLS: another program's port, or an older lvs-agent".to_owned(),
        Error::PeerIncompatible(_) => "the other side does not support TLS 1.3".to_owned(),
        Error::General(why) if why.contains("no server certificate") => "this node has no certificate yet".to_owned(),
        other => format!("TLS with the other side fails: {other}"),
    }
}

/// Why this side does not trust the other side's certificate.
fn refusal(why: &CertificateError, seen: &PeerLeaf) -> String {
    let shown = seen.describe();
    match why {
        CertificateError::UnknownIssuer => {
            format!("its certificate is of another cluster's CA, or of one that is not trusted any more ({shown})")
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let (now, end) = (date(time.as_secs()), date(not_after.as_secs()));
            format!("its certificate has expired: it ended {end}, this machine's clock says {now} ({shown})")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let (now, begin) = (date(time.as_secs()), date(not_before.as_secs()));
            format!(
                "its certificate is not valid yet: it begins {begin}, this machine's clock says {now}; set the clocks right ({shown})"
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its certificate is not for this: a node's has the extended key usages serverAuth and clientAuth ({shown})")
        }
        CertificateError::BadSignature => {
            format!("its certificate is not signed by the CA that it names, or it does not have the certificate's key ({shown})")
        }
        CertificateError::Other(other) if other.0.is::<NotPinned>() => {
            format!("it is not in the cluster that the join token was made for: its CA is another one ({shown})")
        }
        other => format!("its certificate cannot be used: {other} ({shown})"),
    }
}

/// Why the other side does not trust this side's certificate, as far as it says.
fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::CertificateUnknown => {
            "the other side refuses our certificate: it does not trust the CA that made it, so it is of another cluster, or ours is out of date"
        }
        AlertDescription::CertificateExpired => {
            "the other side refuses our certificate: by its clock it has expired or is not valid yet; compare the clocks of both"
        }
        AlertDescription::CertificateRevoked => "the other side refuses our certificate: it was revoked",
        AlertDescription::BadCertificate | AlertDescription::DecryptError => "the other side refuses our certificate: it is damaged",
        AlertDescription::UnsupportedCertificate => {
            "the other side refuses our certificate: it is not for this; a node's has the extended key usages serverAuth and clientAuth"
        }
        AlertDescription::CertificateRequired => "the other side wants a certificate and we have none",
        AlertDescription::AccessDenied => "the other side has no certificate yet, or refuses us",
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => "the other side does not support the TLS 1.3 that this node uses",
        other => return format!("the other side ends the TLS handshake: {other:?}"),
    }
    .to_owned()
}

/// To the minute, as people read it.
fn date(unix_s: u64) -> String {
    match i64::try_from(unix_s).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()) {
        Some(at) => {
            let (year, month, day) = at.to_calendar_date();
            format!("{year:04}-{:02}-{day:02} {:02}:{:02} UTC", u8::from(month), at.hour(), at.minute())
        }
        None => format!("{unix_s} s after 1970"),
    }
}

#[cfg(test)]
mod tests;
