//! PEM (RFC 7468): as strict as we write it for our own keys, as people write it for the rest.

use data_encoding::BASE64;
use rustls::pki_types::{
    CertificateDer,
    pem::{PemObject, SectionKind},
};
use zeroize::Zeroizing;

pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
const LINE: usize = 64;

/// The sections one after the other. In a buffer that is wiped, for it may be keys.
pub(crate) fn encode<T: AsRef<[u8]>>(label: &str, sections: &[T]) -> Zeroizing<Vec<u8>> {
    // All at once: a buffer that grows leaves copies behind.
    let bytes = |der: &T| BASE64.encode_len(der.as_ref().len());
    let room =
        sections.iter().map(|der| bytes(der) + bytes(der) / LINE + 2 * (label.len() + "-----BEGIN -----\n".len()) + 1).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    for der in sections {
        let mut letters = Zeroizing::new(vec![0; bytes(der)]);
        BASE64.encode_mut(der.as_ref(), &mut letters);
        text.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        for line in letters.chunks(LINE) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    }
    text
}

/// The one private key of a file that [`encode`] wrote.
pub(crate) fn decode_secret(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.trim_ascii().strip_prefix(b"-----BEGIN PRIVATE KEY-----")?.strip_suffix(b"-----END PRIVATE KEY-----")?;
    let mut letters = Zeroizing::new(Vec::with_capacity(body.len()));
    letters.extend(body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; BASE64.decode_len(letters.len()).ok()?]);
    let length = BASE64.decode_mut(&letters, &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

/// All certificates of a text; `None` if it is damaged. Other sections and what stands between them do not count.
pub(crate) fn certificates(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    CertificateDer::pem_slice_iter(text).map(|der| der.ok().map(|der| der.to_vec())).collect()
}

/// A private key as others make them.
pub(crate) enum ParsedKey {
    /// PKCS#8, PKCS#1 or SEC1.
    Key(Zeroizing<Vec<u8>>),
    /// It is encrypted.
    Encrypted,
    /// No such section, or a damaged one.
    Nothing,
}

/// Takes a private key of whatever form out of a text.
struct AnyKey(Zeroizing<Vec<u8>>);

impl PemObject for AnyKey {
    fn from_pem(kind: SectionKind, der: Vec<u8>) -> Option<Self> {
        let der = Zeroizing::new(der);
        matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey).then_some(Self(der))
    }
}

/// The first private key of a text.
pub(crate) fn private_key(text: &[u8]) -> ParsedKey {
    let encrypted = [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| text.windows(mark.len()).any(|window| window == *mark)) {
        return ParsedKey::Encrypted;
    }
    AnyKey::from_pem_slice(text).map_or(ParsedKey::Nothing, |key| ParsedKey::Key(key.0))
}
