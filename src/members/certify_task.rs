//! Certificates and the CA's key between members: directors that have the key sign for every member; other directors fetch it.

use super::{
    message::{AuthorityKeyOf, CertifyRequest},
    request::CertifyRefusal,
    task::ClusterMember,
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{self, Authority, NodeSubject},
        certificate::Certificate,
        io::files,
        tls::{self, Credentials, Trust},
    },
    model::{Fingerprint, NodeId, NodeName, NodeRecord, PublicKey, Role},
    peers::{BootstrapPeer, CallError, Peers},
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
    /// One signs with a CA that proves nothing to this node.
    #[error("{director} signs with ca {authority}, which this node does not trust")]
    Untrusted {
        /// Who.
        director: NodeName,
        /// The CA.
        authority: Fingerprint,
    },
}

/// A certificate with what is shown after it (DER, leaf first), and what the leaf says.
pub(super) type Signed = (Vec<Vec<u8>>, Certificate);

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

impl From<&BootstrapPeer> for DirectorAt {
    fn from(met: &BootstrapPeer) -> Self {
        Self { name: met.name.clone(), id: met.id, addr: met.addr }
    }
}

impl ClusterMember {
    /// Has a certificate signed for this node's key: by this node, if it has the issuing CA's key, else by a director that has. Gives it and what
    /// is shown after it (DER). It works without a certificate that others would take: at first, and when the last one has ended. `ahead`: CAs
    /// (DER) that are trusted although this node's state, which is behind, does not know them; then it does not sign for itself, for it would do
    /// it with a CA of the past.
    ///
    /// # Errors
    /// Nobody signs now; to be tried again.
    pub async fn request_certificate(&self, csr: Vec<u8>, ahead: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, CertifyError> {
        if ahead.is_empty()
            && let Ok(chain) = self.certify(&csr).await
        {
            return Ok(chain);
        }
        let state = self.raft().published().borrow().state.clone();
        let trusted: Vec<Vec<u8>> = state.security.authorities.trusted.values().chain(ahead).cloned().collect();
        let trusted = if trusted.is_empty() { files::trusted(self.data_dir()).unwrap_or_default() } else { trusted };
        ask_directors(&self.other_directors(&state), trusted, csr).await.map(|(chain, _)| chain)
    }

    /// Fetches a CA's private key (PKCS#8) from another director. It fits the certificate that the cluster trusts.
    ///
    /// # Errors
    /// No director gives it: none has it, none is reached, or this node is no director.
    pub async fn fetch_authority(&self, fingerprint: Fingerprint) -> Result<Zeroizing<Vec<u8>>, CertifyError> {
        let state = self.raft().published().borrow().state.clone();
        let certificate = state.security.authorities.trusted.get(&fingerprint).ok_or(CertifyError::NoAuthority)?;
        let directors = self.other_directors(&state);
        let mut tried = Vec::new();
        for director in &directors {
            let request = AuthorityKeyOf(fingerprint);
            let answer = self.raft().peers().call(Some(director.id), director.addr, &request, DIRECTOR_DEADLINE).await;
            let why = match answer {
                Ok(key) => match Authority::from_parts(certificate, &key) {
                    Ok(_) => return Ok(key),
                    Err(error) => error.to_string(),
                },
                Err(CallError::Failed { why, .. }) => why,
                Err(error) => error.to_string(),
            };
            tried.push(format!("{}: {why}", director.name));
        }
        Err(none_did(tried))
    }

    /// Before there is a state, any member that this node has met may be one.
    fn other_directors(&self, state: &ClusterState) -> Vec<DirectorAt> {
        let me = self.raft().id();
        if state.nodes.is_empty() {
            return self.identity().met.iter().map(DirectorAt::from).collect();
        }
        state.nodes.values().filter(|node| node.roles.has(Role::Director) && node.id != me).map(DirectorAt::from).collect()
    }

    /// Signs a request of whoever holds a member's key.
    pub(super) async fn certify(&self, csr: &[u8]) -> Result<Vec<Vec<u8>>, CertifyRefusal> {
        if csr.len() > MAX_CSR_BYTES {
            return Err(CertifyRefusal::Request("the certificate request is too long".to_owned()));
        }
        let key = authority::requested_key(csr).map_err(|error| CertifyRefusal::Request(error.to_string()))?;
        let authority = self.issuing_authority()?;
        let mut published = self.raft().published();
        let is_known = timeout(ARRIVAL_DEADLINE, published.wait_for(|now| now.state.nodes.values().any(|node| node.key == key)));
        let state: Arc<ClusterState> = match is_known.await {
            Ok(Ok(published)) => published.state.clone(),
            _ => return Err(CertifyRefusal::NoMember),
        };
        let node = state.nodes.values().find(|node| node.key == key).ok_or(CertifyRefusal::NoMember)?;
        let subject = NodeSubject { cluster_id: self.raft().cluster_id(), name: &node.name, id: node.id, roles: &node.roles };
        let signed = authority.sign_node(csr, &subject, BootClock.unix_now());
        let certificate = signed.map_err(|error| CertifyRefusal::Request(error.to_string()))?;
        tracing::info!(node = %node.name, id = %node.id, certificate = %certificate.fingerprint, until_unix_s = certificate.not_after_unix_s, "certificate signed");
        Ok(vec![certificate.der, authority.certificate().to_vec()])
    }

    fn issuing_authority(&self) -> Result<Authority, CertifyRefusal> {
        let state = self.raft().published().borrow().state.clone();
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
        let state = self.raft().published().borrow().state.clone();
        let certificate =
            state.security.authorities.trusted.get(fingerprint).ok_or_else(|| format!("no ca {fingerprint} is trusted"))?;
        match files::authority(self.data_dir(), certificate) {
            Ok(Some(authority)) => Ok(authority.pkcs8()),
            Ok(None) => Err(format!("the key of ca {fingerprint} is not here")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Has a request signed by the first director that does it well: the chain, and what its leaf says. One of the `trusted` CAs must have signed it,
/// and it must be valid by this machine's clock.
pub(super) async fn ask_directors(directors: &[DirectorAt], trusted: Vec<Vec<u8>>, csr: Vec<u8>) -> Result<Signed, CertifyError> {
    if directors.is_empty() {
        return Err(CertifyError::NoDirector);
    }
    let key = authority::requested_key(&csr).map_err(|error| CertifyError::Tls(error.to_string()))?;
    let credentials =
        Credentials::new(None, Trust::Authorities(trusted.clone())).map_err(|error| CertifyError::Tls(error.to_string()))?;
    let peers = Peers::of_stranger(credentials);
    let request = CertifyRequest { csr };
    let (mut tried, mut untrusted) = (Vec::new(), None);
    for director in directors {
        let why = match peers.call(Some(director.id), director.addr, &request, DIRECTOR_DEADLINE).await {
            Ok(Ok(chain)) => match believed(&chain, key, &trusted) {
                Ok(certificate) => return Ok((chain, certificate)),
                Err(why) => {
                    let stranger = stranger(&chain, &trusted);
                    untrusted = untrusted.or(stranger.map(|authority| (director.name.clone(), authority)));
                    why
                }
            },
            Ok(Err(refusal)) => refusal.to_string(),
            Err(CallError::Failed { why, .. }) => why,
            Err(error) => error.to_string(),
        };
        tried.push(format!("{}: {why}", director.name));
    }
    match untrusted {
        Some((director, authority)) => Err(CertifyError::Untrusted { director, authority }),
        None => Err(none_did(tried)),
    }
}

/// What a chain's leaf says, if it is for this key, of a CA that is trusted, and of use now.
pub(super) fn believed(chain: &[Vec<u8>], key: PublicKey, trusted: &[Vec<u8>]) -> Result<Certificate, String> {
    let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
    let leaf = leaf.filter(|leaf| leaf.key == Some(key)).ok_or("its answer is no certificate for this node's key")?;
    // A director whose clock is wrong makes certificates that are of no use.
    tls::verify(chain, trusted, BootClock.unix_now().as_secs()).map_err(|why| format!("its certificate is of no use: {why}"))?;
    Ok(leaf)
}

/// The CA that a chain is of, if it is none of these.
fn stranger(chain: &[Vec<u8>], trusted: &[Vec<u8>]) -> Option<Fingerprint> {
    chain.get(1).filter(|ca| !trusted.contains(ca)).map(|ca| crate::link::fingerprint::fingerprint(ca))
}

fn none_did(tried: Vec<String>) -> CertifyError {
    if tried.is_empty() { CertifyError::NoDirector } else { CertifyError::Tried(tried.join("; ")) }
}
