//! What a certificate says of its holder. The same form for the cluster's own CA and for certificates made elsewhere.
//!
//! | field | node | remote identity |
//! |---|---|---|
//! | subject CN, exactly one | the node's name | the identity's name |
//! | subject OU | `lvs-director`, `lvs-real-server`, `lvs-witness` | `lvs-admin` or `lvs-read-only` |
//! | extended key usage | serverAuth and clientAuth | clientAuth |
//! | SAN DNS (own CA only) | `node.lvs-agent` | `identity.lvs-agent` |
//! | subject O (own CA only) | the cluster's identity | the same |
//! | subject serialNumber (own CA only) | the node's number | |
//!
//! Several roles are words of one OU, with spaces between (`OU=lvs-director lvs-real-server`), or an OU for each, or both. OUs without a word
//! that begins with `lvs-` are somebody else's business; a word that does and is none of these is an error, for it is a typing error. Cluster
//! and number count only with the SAN of the own CA: in an organisation's own certificates, O and serialNumber mean what they mean there.
//! The key usage is TLS's to check: a remote identity of the own CA cannot be a server, hence no node.

use super::fingerprint::fingerprint;
use crate::model::{Access, Fingerprint, IdentityName, NodeId, NodeName, PublicKey, Role, Roles};
use std::{collections::BTreeSet, str::FromStr};
use x509_parser::{
    certificate::X509Certificate,
    der_parser::Oid,
    extensions::GeneralName,
    oid_registry::{
        OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER,
    },
    prelude::FromDer,
};

/// Most bytes of a certificate.
pub const MAX_CERTIFICATE_BYTES: usize = 16 << 10;
/// Most bytes of a cluster's identity.
const MAX_CLUSTER_ID_BYTES: usize = 64;
/// The SAN that marks a node's certificate of a cluster's own CA.
pub(super) const NODE_SAN: &str = "node.lvs-agent";
/// The SAN that marks a remote identity's certificate of a cluster's own CA.
pub(super) const IDENTITY_SAN: &str = "identity.lvs-agent";
/// What our words in OU begin with.
const PREFIX: &str = "lvs-";

/// Whose certificate it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A node's.
    Node {
        /// Its name.
        name: NodeName,
        /// What it may do.
        roles: Roles,
        /// Its number; a certificate that was made elsewhere has none.
        id: Option<NodeId>,
    },
    /// A remote administrator's.
    Identity {
        /// Its name.
        name: IdentityName,
        /// What it may do.
        access: Access,
    },
}

/// A certificate that was read. Nothing here says that it is to be trusted: TLS does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub subject: Subject,
    /// The cluster it is for; a certificate that was made elsewhere does not say.
    pub cluster_id: Option<String>,
    /// The key, if it is an Ed25519 key.
    pub key: Option<PublicKey>,
    /// Unix seconds.
    pub not_before_unix_s: u64,
    /// Unix seconds.
    pub not_after_unix_s: u64,
    /// All of it.
    pub der: Vec<u8>,
}

/// Why a certificate is of no use here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCertificate {
    /// No X.509 certificate, or one that is too long.
    #[error("not a certificate: {0}")]
    Unreadable(String),
    /// It does not say who its holder is.
    #[error("the certificate does not say whose it is: {0}")]
    Subject(String),
}

impl Certificate {
    /// Reads one (DER, at most 16 KiB).
    ///
    /// # Errors
    /// Whatever is not a certificate of the form above.
    pub fn parse(der: &[u8]) -> Result<Self, BadCertificate> {
        let x509 = read(der)?;
        let marks = Marks::of(&x509)?;
        Ok(Self {
            fingerprint: fingerprint(der),
            subject: subject(&x509, marks)?,
            cluster_id: if marks == Marks::default() { None } else { Some(cluster_id(&x509)?) },
            key: key(&x509),
            not_before_unix_s: u64::try_from(x509.validity().not_before.timestamp()).unwrap_or(0),
            not_after_unix_s: u64::try_from(x509.validity().not_after.timestamp()).unwrap_or(0),
            der: der.to_vec(),
        })
    }
}

/// The OU of a node with these roles.
pub(super) fn role_words(roles: &Roles) -> String {
    let words: Vec<String> = roles.iter().map(|role| format!("{PREFIX}{role}")).collect();
    words.join(" ")
}

/// The OU of a remote identity.
pub(super) fn access_word(access: Access) -> String {
    format!("{PREFIX}{access}")
}

/// An X.509 certificate and nothing after it.
pub(super) fn read(der: &[u8]) -> Result<X509Certificate<'_>, BadCertificate> {
    let unreadable = |why: &str| BadCertificate::Unreadable(why.to_owned());
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(BadCertificate::Unreadable(format!("{} bytes are more than {MAX_CERTIFICATE_BYTES}", der.len())));
    }
    match X509Certificate::from_der(der) {
        Ok(([], x509)) => Ok(x509),
        Ok(_) => Err(unreadable("something comes after it")),
        Err(_) => Err(unreadable("it is no X.509 certificate")),
    }
}

/// Whether a certificate may sign others.
pub(super) fn is_authority(x509: &X509Certificate<'_>) -> bool {
    x509.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
}

/// The Ed25519 key that a certificate is for.
pub(super) fn key(x509: &X509Certificate<'_>) -> Option<PublicKey> {
    let info = x509.public_key();
    let bytes = info.subject_public_key.data.as_ref();
    (info.algorithm.algorithm == OID_SIG_ED25519).then(|| bytes.try_into().ok().map(PublicKey)).flatten()
}

/// Which SANs of the own CA a certificate has.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Marks {
    node: bool,
    identity: bool,
}

impl Marks {
    fn of(x509: &X509Certificate<'_>) -> Result<Self, BadCertificate> {
        let names =
            x509.subject_alternative_name().map_err(|_| BadCertificate::Unreadable("its names make no sense".to_owned()))?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let has = |wanted: &str| names.iter().any(|name| matches!(name, GeneralName::DNSName(dns) if *dns == wanted));
        Ok(Self { node: has(NODE_SAN), identity: has(IDENTITY_SAN) })
    }
}

fn subject(x509: &X509Certificate<'_>, marks: Marks) -> Result<Subject, BadCertificate> {
    let (roles, accesses) = words(x509)?;
    let subject = match (Roles::new(roles), accesses.as_slice()) {
        (Some(roles), []) => {
            let id = if marks.node { Some(node_id(x509)?) } else { None };
            Subject::Node { name: name(x509)?, roles, id }
        }
        (None, [access]) => Subject::Identity { name: name(x509)?, access: *access },
        (None, []) => {
            return Err(wrong("its OU has none of lvs-director, lvs-real-server, lvs-witness, lvs-admin, lvs-read-only"));
        }
        _ => return Err(wrong("its OU says more than one of node, lvs-admin and lvs-read-only")),
    };
    let matches = match subject {
        Subject::Node { .. } => !marks.identity,
        Subject::Identity { .. } => !marks.node,
    };
    if matches { Ok(subject) } else { Err(wrong("its OU and its alternative name contradict each other")) }
}

/// Our words in the subject's OUs.
fn words(x509: &X509Certificate<'_>) -> Result<(BTreeSet<Role>, Vec<Access>), BadCertificate> {
    let (mut roles, mut accesses) = (BTreeSet::new(), BTreeSet::new());
    for unit in texts(x509, OID_X509_ORGANIZATIONAL_UNIT) {
        // What cannot be read cannot hold our words.
        for word in unit.unwrap_or_default().split_ascii_whitespace() {
            let Some(word) = word.strip_prefix(PREFIX) else { continue };
            let access = [Access::Admin, Access::ReadOnly].into_iter().find(|access| access.to_string() == word);
            match (word.parse::<Role>(), access) {
                (Ok(role), _) => _ = roles.insert(role),
                (Err(_), Some(access)) => _ = accesses.insert(access),
                (Err(_), None) => return Err(BadCertificate::Subject(unknown(word))),
            }
        }
    }
    Ok((roles, accesses.into_iter().collect()))
}

fn unknown(word: &str) -> String {
    let word: String = word.chars().take(40).collect();
    format!("its OU says `{PREFIX}{}`, which is neither a role nor an access", word.escape_default())
}

fn name<T: FromStr>(x509: &X509Certificate<'_>) -> Result<T, BadCertificate>
where
    T::Err: ToString,
{
    only(x509, OID_X509_COMMON_NAME, "CN")?
        .parse()
        .map_err(|bad: T::Err| BadCertificate::Subject(format!("CN: {}", bad.to_string())))
}

fn node_id(x509: &X509Certificate<'_>) -> Result<NodeId, BadCertificate> {
    let text = only(x509, OID_X509_SERIALNUMBER, "serialNumber")?;
    let number = text.parse().ok().filter(|number: &u64| number.to_string() == text);
    number.map(NodeId).ok_or_else(|| wrong("serialNumber is no node's number"))
}

fn cluster_id(x509: &X509Certificate<'_>) -> Result<String, BadCertificate> {
    let text = only(x509, OID_X509_ORGANIZATION_NAME, "O")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > MAX_CLUSTER_ID_BYTES || !text.bytes().all(legal) {
        return Err(wrong("O is no cluster's identity"));
    }
    Ok(text.to_owned())
}

/// The one value that a field of the subject has.
fn only<'a>(x509: &'a X509Certificate<'_>, field: Oid<'static>, called: &str) -> Result<&'a str, BadCertificate> {
    let mut found = texts(x509, field);
    match (found.next(), found.next()) {
        (Some(Some(text)), None) => Ok(text),
        (Some(None), None) => {
            Err(wrong(&format!("its {called} is in an alphabet that is not used here: use UTF8String or PrintableString")))
        }
        (None, _) => Err(wrong(&format!("its subject has no {called}"))),
        (Some(_), Some(_)) => Err(wrong(&format!("its subject has more than one {called}"))),
    }
}

fn texts<'a>(x509: &'a X509Certificate<'_>, field: Oid<'static>) -> impl Iterator<Item = Option<&'a str>> {
    x509.subject()
        .iter_attributes()
        .filter(move |attribute| *attribute.attr_type() == field)
        .map(|attribute| attribute.as_str().ok())
}

fn wrong(why: &str) -> BadCertificate {
    BadCertificate::Subject(why.to_owned())
}

#[cfg(test)]
mod tests;
