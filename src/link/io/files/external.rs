//! Certificates and keys of an external CA (`[tls]` in agent.toml): read, checked, never written.

use super::{FileError, pem, store};
use crate::link::tls;
use std::{fs::File, path::Path};
use zeroize::Zeroizing;

/// The permissions of a private key that cause a warning when other users have them: reading and writing.
const EXPOSED: u32 = 0o066;

/// Certificates (DER), leaf first, and the private key for the first of them.
pub type ChainAndKey = (Vec<Vec<u8>>, Zeroizing<Vec<u8>>);

/// A certificate chain and a key in the PEM files of an external CA (`[tls]` in agent.toml). The chain: the node's certificate
/// first, then the CAs between it and the trusted one. The key: PKCS#8, PKCS#1 or SEC1; Ed25519, ECDSA P-256 or P-384, or RSA. They are checked to
/// be of the form that `link::certificate` tells, and to belong together.
///
/// # Errors
/// [`FileError::Io`] and [`FileError::Unsuitable`], naming the file and what to do.
pub fn external(certificate: &Path, key: &Path) -> Result<ChainAndKey, FileError> {
    let chain = certificates(
        certificate,
        "put the node's certificate into it in PEM form, and after it the cas between it and the trusted one",
    )?;
    let key_der = private_key(key)?;
    if let Err(error) = tls::certified(&chain, &key_der) {
        let hint = format!("the key is taken from {}; the form of certificates stands in docs/security.md", key.display());
        return Err(FileError::Unsuitable { path: certificate.to_owned(), why: error.to_string(), hint });
    }
    Ok((chain, key_der))
}

/// The CAs in a PEM file.
///
/// # Errors
/// As [`external`]; also a file without a CA.
pub fn external_authorities(file: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    const HINT: &str = "put into it, in PEM form, the ca certificates whose nodes are to be believed";
    let authorities = certificates(file, HINT)?;
    match tls::roots(&authorities) {
        Ok(_) => Ok(authorities),
        Err(error) => Err(FileError::Unsuitable { path: file.to_owned(), why: error.to_string(), hint: HINT.to_owned() }),
    }
}

fn certificates(path: &Path, hint: &str) -> Result<Vec<Vec<u8>>, FileError> {
    let unsuitable = |why: &str| FileError::Unsuitable { path: path.to_owned(), why: why.to_owned(), hint: hint.to_owned() };
    let text = read(path)?.1;
    match pem::certificates(&text) {
        Some(found) if !found.is_empty() => Ok(found),
        Some(_) if text.first() == Some(&0x30) => Err(unsuitable(&format!(
            "it is in DER form: convert it with `openssl x509 -inform DER -in {} -out CERTIFICATE.pem`",
            path.display()
        ))),
        Some(_) => Err(unsuitable("there is no certificate in it")),
        None => Err(unsuitable("its PEM sections are damaged")),
    }
}

fn private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let (mode, text) = read(path)?;
    if mode & EXPOSED != 0 {
        tracing::warn!(file = %path.display(), mode = %format_args!("{mode:04o}"), "private key can be read by others");
    }
    let unsuitable = |why: &str, hint: String| FileError::Unsuitable { path: path.to_owned(), why: why.to_owned(), hint };
    let convert = || format!("convert it with `openssl pkey -in {} -out KEY.pem` and name that file", path.display());
    match pem::private_key(&text) {
        pem::ParsedKey::Key(der) => Ok(der),
        pem::ParsedKey::Encrypted => {
            Err(unsuitable("its private key is encrypted, and nobody is there to give a passphrase", convert()))
        }
        pem::ParsedKey::Nothing => Err(unsuitable("there is no private key in PEM form in it", convert())),
    }
}

fn read(path: &Path) -> Result<(u32, Zeroizing<Vec<u8>>), FileError> {
    let read = || {
        let file = File::open(path)?;
        Ok((store::mode(&file)?, store::content(file)?))
    };
    read().map_err(|source| FileError::Io { path: path.to_owned(), doing: "read", source })
}
