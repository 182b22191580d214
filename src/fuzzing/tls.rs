//! Certificates, requests for them, keys in PEM files, signatures.

use super::{Outcome, Target, refused, sample};
use crate::{
    link::{
        authority::{self, Authority, NodeSubject},
        certificate::{Certificate, MAX_CERTIFICATE_BYTES},
        io::files::pem,
        node_key::{NodeKey, Purpose, Signature, verify},
    },
    model::NodeId,
};
use std::time::Duration;

/// Longest file that is read, see `link::io::files`.
const MAX_FILE_BYTES: usize = 1 << 20;
const NOW: Duration = Duration::from_secs(1_800_000_000);

pub fn targets() -> Vec<Target> {
    let key = NodeKey::generate();
    let cluster = "0123456789abcdef";
    let ca = Authority::make(cluster, NOW);
    let request = authority::request(&key);
    let (name, roles) = (sample::name("d1"), sample::roles());
    let subject = NodeSubject { cluster_id: cluster, name: &name, id: NodeId(3), roles: &roles };
    let signed = ca.sign_node(&request, &subject, NOW).expect("the request is right");
    let der = signed.der.clone();
    let chain = pem::encode(pem::CERTIFICATE, &[der.clone(), ca.certificate().to_vec()]).to_vec();
    let key_file = pem::encode(pem::PRIVATE_KEY, &[key.pkcs8()]).to_vec();
    let authority_parts = (ca.certificate().to_vec(), ca.pkcs8());
    let signature = key.sign(Purpose::Word, b"word").0;
    vec![
        Target::new("link-certificate", vec![der], MAX_CERTIFICATE_BYTES, |bytes| Certificate::parse(bytes).into()),
        Target::new("link-ca-certificate", vec![authority_parts.0], MAX_CERTIFICATE_BYTES, move |bytes| {
            Authority::from_parts(bytes, &authority_parts.1).into()
        }),
        Target::new("link-certificate-request", vec![request], authority::MAX_REQUEST_BYTES, |bytes| {
            authority::requested_key(bytes).into()
        }),
        Target::new("link-private-key", vec![key.pkcs8().to_vec()], MAX_FILE_BYTES, |bytes| NodeKey::from_pkcs8(bytes).into()),
        Target::new("link-certificates-file", vec![chain], MAX_FILE_BYTES, |bytes| taken(pem::certificates(bytes).is_some())),
        Target::new("link-key-file", vec![key_file.clone()], MAX_FILE_BYTES, |bytes| taken(pem::decode_secret(bytes).is_some())),
        Target::new("link-external-key-file", vec![key_file], MAX_FILE_BYTES, |bytes| {
            taken(matches!(pem::private_key(bytes), pem::ParsedKey::Key(_)))
        }),
        Target::new("link-signature", vec![signature], 1 << 10, move |bytes| {
            taken(verify(&key.public(), Purpose::Word, b"word", &Signature(bytes.to_vec())))
        }),
    ]
}

fn taken(taken: bool) -> Outcome {
    if taken { Outcome::Taken } else { refused("not understood") }
}
