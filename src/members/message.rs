//! What a node that joins, renews or directs asks of members.

use super::request::{CertifyRefusal, JoinAccepted, JoinRefusal, SignedJoin};
use crate::{
    model::Fingerprint,
    peers::{Ask, Topic},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

impl Ask for SignedJoin {
    const TOPIC: Topic = Topic::Join;
    type Answer = Result<JoinAccepted, JoinRefusal>;
}

/// To a director: sign this.
#[derive(Serialize, Deserialize)]
pub struct CertifyRequest {
    /// A request for a certificate (PKCS#10, DER), by the key of a member.
    pub csr: Vec<u8>,
}

impl Ask for CertifyRequest {
    const TOPIC: Topic = Topic::Certify;
    /// The certificate (DER), and the CA's after it.
    type Answer = Result<Vec<Vec<u8>>, CertifyRefusal>;
}

/// From a director to another: the private key of this CA.
#[derive(Serialize, Deserialize)]
pub struct AuthorityKeyOf(pub Fingerprint);

impl Ask for AuthorityKeyOf {
    const TOPIC: Topic = Topic::AuthorityKey;
    /// PKCS#8.
    type Answer = Zeroizing<Vec<u8>>;
}
