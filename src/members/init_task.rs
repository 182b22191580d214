//! Founds a cluster: its CA, its first gossip key, and a log with this node as its one voter.

use super::io::identity::{IdentityError, NodeIdentity};
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{self, Authority, AuthorityError, NodeSubject},
        io::files::{self, FileError},
        node_key::NodeKey,
        token::JoinToken,
    },
    model::{NodeId, NodeName, Role, Roles, Secret, TimingProfile, ZoneName},
    raft::{FoundError, Founder, StoreError, create_log, discard_log, found as found_log},
    rules::{
        Command, Joining, SecurityChange,
        security::{Founding, Token},
    },
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroize;

/// The founder's number.
const FIRST: NodeId = NodeId(1);
/// The first token is for the nodes that are set up now: it lasts an hour, for any number of nodes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const TOKEN_USES: u32 = 16;

/// The first node of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitSettings {
    /// Where its files will be.
    pub data_dir: PathBuf,
    /// Its name.
    pub name: NodeName,
    /// Its roles.
    pub roles: Roles,
    /// Its gossip and Raft address.
    pub addr: SocketAddr,
    /// What fails together with it.
    pub zone: Option<ZoneName>,
    /// The cluster's rhythm.
    pub timing: TimingProfile,
    /// The cluster uses an external CA: it makes no certificates and no tokens.
    pub external: bool,
}

/// A cluster that was made.
#[derive(Debug)]
pub struct FoundedCluster {
    /// The first node in it.
    pub identity: NodeIdentity,
    /// The join token for the other nodes, and the record of it that the cluster keeps.
    pub token: Option<(JoinToken, Token)>,
}

/// Why no cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The node is in a cluster.
    #[error("this node is {id} of cluster {cluster_id} already: move {} away to found another cluster", data_dir.display())]
    Member {
        /// Its data directory.
        data_dir: PathBuf,
        /// Its cluster.
        cluster_id: String,
        /// Its number.
        id: NodeId,
    },
    /// The node is no director: no member would have the CA's key, so no node could get a certificate.
    #[error(
        "{name} is no director: agent.toml says `roles = [{}]`, and a cluster without a director can do nothing and let nobody in; run `lvs-agent init` on a director, or add \"director\" to `roles` in agent.toml, restart the agent and run it again",
        quoted(roles)
    )]
    NoDirector {
        /// This node.
        name: NodeName,
        /// What it would be.
        roles: Roles,
    },
    /// The data directory cannot be made.
    #[error("cannot create the data directory {}", data_dir.display())]
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
    /// The CA does not sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The first entries were not written.
    #[error(transparent)]
    Log(#[from] FoundError),
}

/// As agent.toml has them.
fn quoted(roles: &Roles) -> String {
    roles.iter().map(|role| format!("\"{role}\"")).collect::<Vec<_>>().join(", ")
}

/// Founds a cluster with this node, a director, as its first member. Its Raft can be started afterwards.
///
/// # Errors
/// The data directory has data already, the node is no director, or the disk fails. Nothing is left behind then.
pub async fn init(settings: InitSettings) -> Result<FoundedCluster, InitError> {
    let data_dir = settings.data_dir.clone();
    if let Some(NodeIdentity { cluster_id, node_id, .. }) = NodeIdentity::load(&data_dir)? {
        return Err(InitError::Member { data_dir, cluster_id, id: node_id });
    }
    if !settings.roles.has(Role::Director) {
        return Err(InitError::NoDirector { name: settings.name, roles: settings.roles });
    }
    create_data_dir(&data_dir).map_err(|source| InitError::DataDir { data_dir: data_dir.clone(), source })?;
    let cluster_id = format!("{:016x}", rand::random::<u64>());
    create_log(&data_dir, &cluster_id, FIRST)?;
    let InitSettings { name, timing, .. } = &settings;
    let identity = NodeIdentity { cluster_id, node_id: FIRST, name: name.clone(), timing: *timing, bootstrap_peers: Vec::new() };
    let founded = found(&settings, &identity).await;
    if founded.is_err() {
        // The log was made a moment ago, and no other node knows of it.
        let _ = discard_log(&data_dir);
        let _ = files::forget(&data_dir);
    }
    Ok(FoundedCluster { identity, token: founded? })
}

/// Makes the data directory, which only its owner can read.
pub(super) fn create_data_dir(data_dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)
}

async fn found(settings: &InitSettings, identity: &NodeIdentity) -> Result<Option<(JoinToken, Token)>, InitError> {
    let data_dir = &settings.data_dir;
    let key = files::node_key(data_dir)?;
    let authority = (!settings.external).then(|| make_authority(settings, identity, &key)).transpose()?;
    let token = authority.as_ref().map(|authority| first_token(settings, authority));
    let entries = first_entries(settings, identity, &key, authority.as_ref(), token.as_ref());
    let NodeIdentity { cluster_id, name, timing, .. } = identity;
    let founder = Founder { data_dir, cluster_id, me: FIRST, name, addr: settings.addr, timing: *timing };
    found_log(&founder, entries).await?;
    identity.save(data_dir)?;
    Ok(token)
}

/// The cluster's CA, on the disk, with this node's certificate from it.
fn make_authority(settings: &InitSettings, identity: &NodeIdentity, key: &NodeKey) -> Result<Authority, InitError> {
    let now = BootClock.unix_now();
    let authority = Authority::make(&identity.cluster_id, now);
    let InitSettings { data_dir, name, roles, .. } = settings;
    let subject = NodeSubject { cluster_id: &identity.cluster_id, name, id: FIRST, roles };
    let certificate = authority.sign_node(&authority::request(key), &subject, now)?;
    let trusted = authority.certificate().to_vec();
    files::save_authority(data_dir, &authority)?;
    files::save_certificate(data_dir, &[certificate.der, trusted.clone()])?;
    files::save_trusted(data_dir, &[trusted])?;
    Ok(authority)
}

fn first_token(settings: &InitSettings, authority: &Authority) -> (JoinToken, Token) {
    let token = JoinToken::make(authority.fingerprint());
    let known = Token {
        key: token.public(),
        roles: Roles::new(Role::ALL).expect("all roles are some"),
        uses_left: TOKEN_USES,
        expires_unix_s: (BootClock.unix_now() + TOKEN_LIFETIME).as_secs(),
        made_by: settings.name.clone(),
        authority: authority.fingerprint(),
    };
    (token, known)
}

fn first_entries(
    settings: &InitSettings,
    identity: &NodeIdentity,
    key: &NodeKey,
    authority: Option<&Authority>,
    token: Option<&(JoinToken, Token)>,
) -> Vec<Command> {
    let InitSettings { name, roles, addr, zone, .. } = settings.clone();
    let founding = Founding {
        authority: authority.map(|authority| (authority.fingerprint(), authority.certificate().to_vec())),
        key: gossip_key(),
    };
    let init = Command::Init { cluster_id: identity.cluster_id.clone(), timing: identity.timing, founding };
    let joining = Joining { name, roles, addr, zone, key: key.public(), keeps_id: false, token: None };
    let made = |(token, known): &(JoinToken, Token)| {
        let at_unix_s = BootClock.unix_now().as_secs();
        Command::Security(SecurityChange::TokenMade { id: token.id(), token: known.clone(), at_unix_s })
    };
    [init, Command::NodeJoined(joining)].into_iter().chain(token.map(made)).collect()
}

fn gossip_key() -> Secret {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the kernel gives randomness");
    let key = Secret::new(bytes);
    bytes.zeroize();
    key
}
