//! Keys, fingerprints and their ids as plain values. `link` signs and seals with them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes as lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Why a text is no key or fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not {1} hexadecimal digits")]
pub struct BadHex(String, usize);

macro_rules! hex_bytes {
    ($(#[$doc:meta])* $type:ident, $bytes:literal, $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(pub [u8; $bytes]);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&hex(&self.0[..$shown]))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $type {
            type Err = BadHex;
            fn from_str(text: &str) -> Result<Self, BadHex> {
                unhex(text).map(Self).ok_or_else(|| BadHex(text.chars().take(80).collect(), 2 * $bytes))
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadHex;
            fn try_from(text: String) -> Result<Self, BadHex> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(bytes: $type) -> String {
                hex(&bytes.0)
            }
        }
    };
}

hex_bytes!(
    /// An Ed25519 public key (RFC 8032): what a node, or a token, signs with. Shown by its first 8 bytes.
    PublicKey, 32, 8
);
hex_bytes!(
    /// SHA-256 of a certificate's DER. Shown by its first 8 bytes.
    Fingerprint, 32, 8
);
hex_bytes!(
    /// Names a join token without revealing it: the first 8 bytes of the SHA-256 of its public key.
    TokenId, 8, 8
);

/// The number of a gossip key. It stands in the header of every datagram that the key seals. No key has the number 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u16);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

/// 32 secret bytes: wiped when dropped, never shown, compared in constant time.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes. The caller wipes its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for cryptographic functions.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What a remote identity may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and change.
    Admin,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Access::ReadOnly => "read-only",
            Access::Admin => "admin",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_shown_short() {
        let fingerprint = Fingerprint([0xab; 32]);
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
        assert_eq!(fingerprint.to_string(), "abababababababab");
        assert!("xyz".parse::<Fingerprint>().is_err());
        assert!("é".repeat(32).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new([7; 32]);
        assert_eq!(format!("{secret:?}"), "(secret)");
        assert_eq!(secret, Secret::new([7; 32]));
        assert_ne!(secret, Secret::new([8; 32]));
    }
}
