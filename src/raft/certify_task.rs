//! Certificates and the CA's key between members: directors that have the key sign for every member; other directors fetch it.

use super::{
    io::network::Peers,
    joining::CertifyRefusal,
    message::{Request, Response},
    task::RaftNode,
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{self, Authority, NodeSubject},
        certificate::Certificate,
        io::files,
        tls::{Credentials, Trust},
    },
    model::{Fingerprint, NodeId, NodeName, NodeRecord, Role},
    rules::ClusterState,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// One director's answer.
const DIRECTOR_DEADLINE: Duration = Duration::from_secs(5);
/// A node that was let in a moment ago asks a director that has not heard of it yet; so long it waits for that.
const ARRIVAL_DEADLINE: Duration = Duration::from_secs(3);
/// Longest certificate request: one key, a short subject.
const MAX_CSR_BYTES: usize = 2 << 10;

/// Why there is no certificate, or no CA key.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The cluster has no CA, or not that one, as far as this node knows.
    #[error("this node knows no such ca")]
    NoAuthority,
    /// There is nobody to ask.
    #[error("no other director is known")]
    NoDirector,
    /// TLS cannot be spoken.
    #[error("no director can be asked: {0}")]
    Tls(String),
    /// None of them did it.
    #[error("no director did it: {0}")]
    Tried(String),
}

/// A director and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectorAt {
    name: NodeName,
    id: NodeId,
    addr: SocketAddr,
}

impl From<&NodeRecord> for DirectorAt {
    fn from(record: &NodeRecord) -> Self {
        Self { name: record.name.clone(), id: record.id, addr: record.addr }
    }
}

impl RaftNode {
    /// Has a certificate signed for this node's key: by this node, if it has the issuing CA's key, else by a director that has. Gives it and what
    /// is shown after it (DER). It works without a certificate that others would take: at first, and when the last one has ended.
    ///
    /// # Errors
    /// Nobody signs now; to be tried again.
    pub async fn request_certificate(&self, csr: Vec<u8>) -> Result<Vec<Vec<u8>>, CertifyError> {
        if let Ok(chain) = self.certify(&csr).await {
            return Ok(chain);
        }
        let state = self.published().borrow().state.clone();
        let trusted: Vec<Vec<u8>> = state.security.authorities.trusted.values().cloned().collect();
        let trusted = if trusted.is_empty() { files::trusted(self.data_dir()).unwrap_or_default() } else { trusted };
        ask_directors(&self.other_directors(&state), trusted, csr).await.map(|(chain, _)| chain)
    }

    /// Fetches a CA's private key (PKCS#8) from another director. It fits the certificate that the cluster trusts.
    ///
    /// # Errors
    /// No director gives it: none has it, none is reached, or this node is no director.
    pub async fn fetch_authority(&self, fingerprint: Fingerprint) -> Result<Zeroizing<Vec<u8>>, CertifyError> {
        let state = self.published().borrow().state.clone();
        let certificate = state.security.authorities.trusted.get(&fingerprint).ok_or(CertifyError::NoAuthority)?;
        let directors = self.other_directors(&state);
        let mut tried = Vec::new();
        for director in &directors {
            let request = Request::AuthorityKey(fingerprint);
            let answer = self.peers().call(Some(director.id), director.addr, &request, DIRECTOR_DEADLINE).await;
            let why = match answer {
                Ok(Response::AuthorityKey(key)) => match Authority::from_parts(certificate, &key) {
                    Ok(_) => return Ok(key),
                    Err(error) => error.to_string(),
                },
                Ok(Response::Failed(why)) => why,
                Ok(_) => "it answers something else".to_owned(),
                Err(error) => error.to_string(),
            };
            tried.push(format!("{}: {why}", director.name));
        }
        Err(none_did(tried))
    }

    fn other_directors(&self, state: &ClusterState) -> Vec<DirectorAt> {
        let me = self.id();
        state.nodes.values().filter(|node| node.roles.has(Role::Director) && node.id != me).map(DirectorAt::from).collect()
    }

    /// Signs a request of whoever holds a member's key.
    pub(super) async fn certify(&self, csr: &[u8]) -> Result<Vec<Vec<u8>>, CertifyRefusal> {
        if csr.len() > MAX_CSR_BYTES {
            return Err(CertifyRefusal::Request("the certificate request is too long".to_owned()));
        }
        let key = authority::requested_key(csr).map_err(|error| CertifyRefusal::Request(error.to_string()))?;
        let authority = self.issuing_authority()?;
        let mut published = self.published();
        let is_known = timeout(ARRIVAL_DEADLINE, published.wait_for(|now| now.state.nodes.values().any(|node| node.key == key)));
        let state: Arc<ClusterState> = match is_known.await {
            Ok(Ok(published)) => published.state.clone(),
            _ => return Err(CertifyRefusal::NoMember),
        };
        let node = state.nodes.values().find(|node| node.key == key).ok_or(CertifyRefusal::NoMember)?;
        let subject = NodeSubject { cluster_id: self.cluster_id(), name: &node.name, id: node.id, roles: &node.roles };
        let signed = authority.sign_node(csr, &subject, BootClock.unix_now());
        let certificate = signed.map_err(|error| CertifyRefusal::Request(error.to_string()))?;
        tracing::info!(node = %node.name, id = %node.id, certificate = %certificate.fingerprint, until_unix_s = certificate.not_after_unix_s, "certificate signed");
        Ok(vec![certificate.der, authority.certificate().to_vec()])
    }

    fn issuing_authority(&self) -> Result<Authority, CertifyRefusal> {
        let state = self.published().borrow().state.clone();
        let authorities = &state.security.authorities;
        let is_foreign = !state.cluster_id.is_empty() && authorities.issuing.is_none();
        if is_foreign {
            return Err(CertifyRefusal::NotOurs);
        }
        let certificate = authorities.issuing.and_then(|issuing| authorities.trusted.get(&issuing));
        match certificate.map(|certificate| files::authority(self.data_dir(), certificate)) {
            Some(Ok(Some(authority))) => Ok(authority),
            Some(Err(error)) => {
                tracing::error!(%error, "ca key cannot be used");
                Err(self.not_here(&state))
            }
            Some(Ok(None)) | None => Err(self.not_here(&state)),
        }
    }

    fn not_here(&self, state: &ClusterState) -> CertifyRefusal {
        CertifyRefusal::NotHere { directors: self.other_directors(state).into_iter().take(5).map(|at| at.name).collect() }
    }

    /// A CA's private key, for another director.
    pub(super) fn authority_key(&self, fingerprint: &Fingerprint) -> Result<Zeroizing<Vec<u8>>, String> {
        let state = self.published().borrow().state.clone();
        let certificate =
            state.security.authorities.trusted.get(fingerprint).ok_or_else(|| format!("no ca {fingerprint} is trusted"))?;
        match files::authority(self.data_dir(), certificate) {
            Ok(Some(authority)) => Ok(authority.pkcs8()),
            Ok(None) => Err(format!("the key of ca {fingerprint} is not here")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Has a request signed by the first director that does it: the chain, and what its leaf says.
pub(super) async fn ask_directors(
    directors: &[DirectorAt],
    trusted: Vec<Vec<u8>>,
    csr: Vec<u8>,
) -> Result<(Vec<Vec<u8>>, Certificate), CertifyError> {
    if directors.is_empty() {
        return Err(CertifyError::NoDirector);
    }
    let key = authority::requested_key(&csr).map_err(|error| CertifyError::Tls(error.to_string()))?;
    let credentials =
        Credentials::new(None, Trust::Authorities(trusted)).map_err(|error| CertifyError::Tls(error.to_string()))?;
    let peers = Peers::of_stranger(credentials);
    let request = Request::Certify { csr };
    let mut tried = Vec::new();
    for director in directors {
        let why = match peers.call(Some(director.id), director.addr, &request, DIRECTOR_DEADLINE).await {
            Ok(Response::Certified(Ok(chain))) => match leaf(&chain) {
                Some(certificate) if certificate.key == Some(key) => return Ok((chain, certificate)),
                _ => "its answer is no certificate for this node's key".to_owned(),
            },
            Ok(Response::Certified(Err(refusal))) => refusal.to_string(),
            Ok(Response::Failed(why)) => why,
            Ok(_) => "it answers something else".to_owned(),
            Err(error) => error.to_string(),
        };
        tried.push(format!("{}: {why}", director.name));
    }
    Err(none_did(tried))
}

fn leaf(chain: &[Vec<u8>]) -> Option<Certificate> {
    chain.first().and_then(|der| Certificate::parse(der).ok())
}

fn none_did(tried: Vec<String>) -> CertifyError {
    if tried.is_empty() { CertifyError::NoDirector } else { CertifyError::Tried(tried.join("; ")) }
}
