//! Becoming a member: asks any member to let this node in, a director for a certificate, and keeps what they answer.

use super::{
    certify_task::{CertifyError, DirectorAt, Signed, ask_directors},
    init_task::create_data_dir,
    io::identity::{Identity, IdentityError},
    request::{JoinAccepted, JoinRefusal, JoinRequest, SignedJoin},
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{self, AuthorityError, NodeSubject},
        certificate::Subject,
        fingerprint::fingerprint,
        io::files::{self, FileError},
        node_key::NodeKey,
        tls::{Credentials, TlsError, Trust},
        token::JoinToken,
    },
    model::{Fingerprint, NodeName, NodeRecord, Roles, TimingProfile, ZoneName},
    peers::{BootstrapPeer, CallError, HelloRefusal, Peers},
    raft::{StoreError, create_log, discard_log},
};
use std::{collections::VecDeque, fmt, io, net::SocketAddr, path::PathBuf, time::Duration};

/// Longer than the seed itself waits for a leader.
const SEED_DEADLINE: Duration = Duration::from_secs(12);
/// How often a seed may name another one.
const REDIRECTS: usize = 3;

/// A node that wants to become a member, or is one and tells what has changed.
pub struct JoinSettings {
    /// Where its files are, or will be.
    pub data_dir: PathBuf,
    /// Its name.
    pub name: NodeName,
    /// The roles it wants.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// What fails together with it.
    pub zone: Option<ZoneName>,
    /// The agent's version.
    pub version: String,
    /// The profile it insists on; `None`: whatever the cluster has.
    pub timing: Option<TimingProfile>,
    /// What lets it in. A member that comes back with its key needs none.
    pub token: Option<JoinToken>,
    /// What it presents and trusts where certificates come from somebody else's CA.
    pub external: Option<Credentials>,
}

/// Why the node is no member.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No seed was given.
    #[error("no seed is given: name the address of a member, as in `lvs-agent join 10.0.0.1:7400`")]
    NoSeed,
    /// Nothing proves the cluster to this node.
    #[error(
        "a node that is no member needs a token: run `lvs-agent token create` on a director, and here `lvs-agent join SEED --token T`; where certificates come from a ca of your own, it needs `[tls]` in agent.toml instead"
    )]
    NoToken,
    /// No seed answered.
    #[error("no seed answered: {}; {UNREACHABLE_HINT}", Tried(tried))]
    Unreachable {
        /// Each seed and what came of it.
        tried: Vec<(SocketAddr, String)>,
    },
    /// Some did, but could not let anybody in now.
    #[error(
        "no seed could let this node in now: {}; try again when the cluster has a leader (`lvs-agent status` on a member)",
        Tried(tried)
    )]
    NotNow {
        /// Each seed and what came of it.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The seeds are of another cluster than the token, or have replaced the CA that this node trusts.
    #[error("no seed proves to be of the cluster that {}: {}; {}", if *with_token { "the token is for" } else { "this node was in" }, Tried(tried), untrusted_hint(*with_token))]
    Untrusted {
        /// The node trusts by a token.
        with_token: bool,
        /// Each seed and what came of it.
        tried: Vec<(SocketAddr, String)>,
    },
    /// The seed speaks another version.
    #[error("{seed} does not talk to this node: {refusal}")]
    WrongVersion {
        /// Which seed.
        seed: SocketAddr,
        /// Its words.
        refusal: HelloRefusal,
    },
    /// A seed answered no.
    #[error("{seed} does not let this node in: {refusal}")]
    Refused {
        /// Which seed.
        seed: SocketAddr,
        /// Its words.
        refusal: JoinRefusal,
    },
    /// The cluster has let the node in, but it has no certificate yet.
    #[error("this node was let in, but has no certificate yet: {why}; {}", certificate_hint(why))]
    NoCertificate {
        /// What the directors said.
        why: CertifyError,
    },
    /// A certificate that does not fit what the seed has said: one of the two lies.
    #[error(
        "{seed} says something else of the cluster than the certificate that a director signed: {what}; ask another seed, and look at that one"
    )]
    Contradiction {
        /// Who.
        seed: SocketAddr,
        /// In what.
        what: String,
    },
    /// The data directory cannot be made.
    #[error("cannot create the data directory {}: see `data_dir` in agent.toml, and who may write there", data_dir.display())]
    DataDir {
        /// Which.
        data_dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No keys, no certificate.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// What this node trusts cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The CA's key that is here signs nothing.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// What to do about silence.
pub const UNREACHABLE_HINT: &str = "is an agent running there, and does the firewall let TCP and UDP pass between the nodes on that port and the next (7400 and 7401)?";

fn certificate_hint(why: &CertifyError) -> &'static str {
    match why {
        CertifyError::Untrusted { .. } => {
            "the cluster's ca was replaced, or is being replaced now: make a new token with `lvs-agent token create` on a director, and run `lvs-agent join SEED --token T` with that one"
        }
        CertifyError::NoDirector => {
            "where this node was the cluster's only director, put node.key, trusted.crt and ca-*.key of its backup into the data directory and run `lvs-agent join SEED` again; without the ca's key nobody can make certificates for this cluster: found it anew, on a director"
        }
        CertifyError::NoAuthority | CertifyError::Tls(_) | CertifyError::Tried(_) => "run the same `lvs-agent join` again",
    }
}

struct Tried<'a>(&'a [(SocketAddr, String)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (seed, why)) in self.0.iter().enumerate() {
            write!(f, "{}{seed}: {why}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

fn untrusted_hint(with_token: bool) -> &'static str {
    if with_token {
        "make a token on a director of the cluster that this node shall join (one made before `ca rotate` is worth nothing after it)"
    } else {
        "if its ca was replaced while this node was away, run `lvs-agent token create` on a director, and here `lvs-agent join SEED --token T`"
    }
}

/// Asks one seed after the other to make this node a member, has its certificate signed, and writes down what it has become. Its Raft can be
/// started afterwards; it begins with an empty log, the leader brings it up to date. A node that is a member already only tells its address and
/// zone: its keeper looks after its certificate. After an error, the same call again goes on where this one ended.
///
/// A seed is believed no further than it could be by any member: whether the node is in a cluster that is worth its trust, it learns from a
/// certificate that only the key of the CA can have made which its token names, or which it trusted before.
///
/// # Errors
/// Nobody answers, or somebody says why not.
pub async fn join(seeds: &[SocketAddr], settings: JoinSettings) -> Result<Identity, JoinError> {
    if seeds.is_empty() {
        return Err(JoinError::NoSeed);
    }
    let data_dir = settings.data_dir.as_path();
    let before = Identity::load(data_dir)?;
    create_data_dir(data_dir).map_err(|source| JoinError::DataDir { data_dir: data_dir.to_owned(), source })?;
    let key = files::node_key(data_dir)?;
    let asking = Asking { settings: &settings, before: before.as_ref(), key: &key, trusted: files::trusted(data_dir)? };
    let (seed, accepted) = asking.ask_seeds(seeds).await?;
    if settings.external.is_none() && before.is_none() {
        asking.take_certificate(seed, &accepted).await?;
    }
    let met = accepted.nodes.iter().filter(|node| node.id != accepted.id);
    let met = met.map(|node| BootstrapPeer { id: node.id, name: node.name.clone(), addr: node.addr }).collect();
    let JoinAccepted { cluster_id, id, timing, .. } = accepted;
    let identity = Identity { cluster_id, node_id: id, name: settings.name.clone(), timing, met };
    if before.as_ref().is_none_or(|before| before.node_id != id) {
        if before.is_none() {
            // Nobody's, without an identity: of a join that did not come to its end.
            discard_log(data_dir)?;
        }
        create_log(data_dir, &identity.cluster_id, id)?;
    }
    identity.save(data_dir)?;
    Ok(identity)
}

/// One node's request.
struct Asking<'a> {
    settings: &'a JoinSettings,
    before: Option<&'a Identity>,
    key: &'a NodeKey,
    trusted: Vec<Vec<u8>>,
}

impl Asking<'_> {
    /// The first certificate, from a CA that this node had reason to trust before it heard of this cluster's.
    async fn take_certificate(&self, seed: SocketAddr, accepted: &JoinAccepted) -> Result<(), JoinError> {
        let data_dir = &self.settings.data_dir;
        let trusted: Vec<Vec<u8>> =
            accepted.authorities.iter().filter(|der| self.is_believed(&fingerprint(der))).cloned().collect();
        let signed = match self.sign_here(accepted, &trusted)? {
            Some(signed) => Ok(signed),
            None => {
                let others = accepted.directors().filter(|node| node.id != accepted.id);
                let directors: Vec<DirectorAt> = others.map(DirectorAt::from).collect();
                ask_directors(&directors, trusted.clone(), authority::request(self.key)).await
            }
        };
        let (chain, leaf) = signed.map_err(|why| JoinError::NoCertificate { why })?;
        let said = (Some(accepted.cluster_id.as_str()), &self.settings.name, Some(accepted.id));
        let certified = match &leaf.subject {
            Subject::Node { name, id, .. } => (leaf.cluster_id.as_deref(), name, *id),
            Subject::Identity { .. } => (None, &self.settings.name, None),
        };
        if said != certified {
            return Err(JoinError::Contradiction { seed, what: format!("{said:?} or {certified:?}") });
        }
        files::save_certificate(data_dir, &chain)?;
        files::save_trusted(data_dir, &trusted)?;
        Ok(())
    }

    /// A director that comes back with a CA's key needs nobody: it may be the only one.
    fn sign_here(&self, accepted: &JoinAccepted, trusted: &[Vec<u8>]) -> Result<Option<Signed>, JoinError> {
        let record = accepted.directors().find(|node| node.id == accepted.id);
        let Some(record) = record.filter(|record| record.key == self.key.public()) else { return Ok(None) };
        for certificate in trusted {
            let Some(authority) = files::authority(&self.settings.data_dir, certificate)? else { continue };
            let NodeRecord { name, id, roles, .. } = record;
            let subject = NodeSubject { cluster_id: &accepted.cluster_id, name, id: *id, roles };
            let leaf = authority.sign_node(&authority::request(self.key), &subject, BootClock.unix_now())?;
            return Ok(Some((vec![leaf.der.clone(), certificate.clone()], leaf)));
        }
        Ok(None)
    }

    /// Whether a CA proves the cluster to this node: its token names it, or, without one, this node trusted it before.
    fn is_believed(&self, authority: &Fingerprint) -> bool {
        match &self.settings.token {
            Some(token) => token.is_for(authority),
            None => self.trusted.iter().any(|der| fingerprint(der) == *authority),
        }
    }

    async fn ask_seeds(&self, seeds: &[SocketAddr]) -> Result<(SocketAddr, JoinAccepted), JoinError> {
        let peers = Peers::of_stranger(self.credentials()?);
        let mut seeds: VecDeque<SocketAddr> = seeds.iter().copied().collect();
        let (mut tried, mut redirects, mut untrusted, mut heard) = (Vec::new(), 0, 0, false);
        while let Some(seed) = seeds.pop_front() {
            let answer = peers.call_showing(seed, |shown| self.request(shown), SEED_DEADLINE).await;
            let why = match answer {
                Ok(Ok(accepted)) => return Ok((seed, accepted)),
                Ok(Err(JoinRefusal::AskLeader(leader))) if redirects < REDIRECTS => {
                    redirects += 1;
                    seeds.push_front(leader);
                    continue;
                }
                // Another member may see more.
                Ok(Err(refusal)) if refusal.is_passing() => {
                    heard = true;
                    refusal.to_string()
                }
                Ok(Err(refusal)) => return Err(JoinError::Refused { seed, refusal }),
                Err(CallError::Failed { why, .. }) => why,
                Err(CallError::Refused { refusal: refusal @ HelloRefusal::WrongVersion { .. }, .. }) => {
                    return Err(JoinError::WrongVersion { seed, refusal });
                }
                Err(error) => {
                    untrusted += usize::from(matches!(error, CallError::Tls { .. }));
                    error.why()
                }
            };
            tried.push((seed, why));
        }
        if untrusted == tried.len() && self.settings.external.is_none() {
            return Err(JoinError::Untrusted { with_token: self.settings.token.is_some(), tried });
        }
        Err(if heard { JoinError::NotNow { tried } } else { JoinError::Unreachable { tried } })
    }

    /// What proves the cluster to this node: its token, else what it trusted last.
    fn credentials(&self) -> Result<Credentials, JoinError> {
        let JoinSettings { token, external, .. } = self.settings;
        match (external, token) {
            (Some(external), _) => Ok(external.clone()),
            (None, Some(token)) => Ok(Credentials::new(None, Trust::Pinned(token.pin()))?),
            (None, None) if self.trusted.is_empty() => Err(JoinError::NoToken),
            (None, None) => Ok(Credentials::new(None, Trust::Authorities(self.trusted.clone()))?),
        }
    }

    /// The request, signed for the cluster whose CA the seed has shown.
    fn request(&self, shown: &[Fingerprint]) -> SignedJoin {
        let JoinSettings { name, roles, addr, zone, version, timing, token, external, .. } = self.settings;
        let request = JoinRequest {
            name: name.clone(),
            roles: roles.clone(),
            addr: *addr,
            zone: zone.clone(),
            key: self.key.public(),
            version: version.chars().take(64).collect(),
            timing: *timing,
            known: self.before.map(|identity| (identity.cluster_id.clone(), identity.node_id)),
            authority: if external.is_some() {
                None
            } else {
                shown.iter().copied().find(|authority| self.is_believed(authority))
            },
            at_unix_s: BootClock.unix_now().as_secs(),
        };
        let signed = SignedJoin::sign(&request, self.key, token.as_ref());
        signed.expect("names are short, and the rest is of fixed length")
    }
}
