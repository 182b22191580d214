//! What a certificate is known by: the SHA-256 of its DER bytes.

use crate::model::Fingerprint;
use ring::digest::{SHA256, digest};

/// SHA-256.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(digest(&SHA256, der).as_ref().try_into().expect("SHA-256 is 32 bytes"))
}
