//! Keeps this node's certificate, the CAs it trusts and a director's CA keys as the cluster has them, and TLS speaking with them.

use super::{
    admin::with_sources,
    keeper::{self, Own},
};
use crate::{
    clock::{BootClock, Clock},
    config::{AgentConfig, agent::TlsConfig},
    gossip::Holds,
    link::{
        authority::{self, Authority},
        certificate::Certificate,
        io::files,
        tls::{self, Credentials, Presented, Trust},
    },
    model::NodeRecord,
    raft::RaftNode,
    rules::ClusterState,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often validity is looked at, and files of somebody else's CA are read.
const LOOK: Duration = Duration::from_secs(60);
/// After a certificate or a CA key was not to be had.
const RETRY: Duration = Duration::from_secs(2);

/// What TLS is spoken with when a member starts: what its files say.
///
/// # Errors
/// In one line, with what to do.
pub fn load(config: &AgentConfig) -> Result<Credentials, String> {
    let (presented, trust) = match &config.tls {
        Some(tls) => external(tls)?,
        None => own_files(config)?,
    };
    Credentials::new(presented, trust).map_err(|error| error.to_string())
}

/// What agent.toml's `[tls]` names.
pub fn external(tls: &TlsConfig) -> Result<(Option<Presented>, Trust), String> {
    let (chain, key) = files::external(&tls.certificate, &tls.key).map_err(|error| with_sources(&error))?;
    let authorities = files::external_authorities(&tls.ca).map_err(|error| with_sources(&error))?;
    Ok((Some(Presented { chain, key }), Trust::Authorities(authorities)))
}

fn own_files(config: &AgentConfig) -> Result<(Option<Presented>, Trust), String> {
    let dir = &config.data_dir;
    let key = files::node_key(dir).map_err(|error| with_sources(&error))?;
    let chain = files::certificate(dir).map_err(|error| with_sources(&error))?;
    let presented = chain.map(|chain| Presented { chain, key: Zeroizing::new(key.pkcs8().to_vec()) });
    let trusted = files::trusted(dir).map_err(|error| with_sources(&error))?;
    Ok((presented, Trust::Authorities(trusted)))
}

/// One member's keeper.
pub struct Keeper {
    /// This node's configuration.
    pub config: Arc<AgentConfig>,
    /// Its Raft: what the cluster says, and whom to ask for a certificate.
    pub raft: RaftNode,
    /// What it keeps.
    pub credentials: Credentials,
    /// What it tells the cluster that it has.
    pub holds: watch::Sender<Holds>,
    /// Who has it may add and remove CA keys of this node.
    pub authority_files: Arc<Mutex<()>>,
}

impl Keeper {
    /// Keeps until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        // Every file is written whole or not at all, so it may be stopped anywhere.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut state = self.raft.state();
        loop {
            let now = state.borrow_and_update().clone();
            let again = match self.look(&now).await {
                Ok(()) => LOOK,
                Err(why) => {
                    tracing::warn!(why, "keys and certificates are not yet as the cluster has them");
                    RETRY
                }
            };
            // Both are cancel-safe.
            tokio::select! {
                () = sleep(again) => {}
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn look(&mut self, state: &ClusterState) -> Result<(), String> {
        let Some(record) = state.nodes.get(&self.config.node) else { return Ok(()) };
        if let Some(tls) = &self.config.tls {
            let (presented, trust) = external(tls)?;
            let leaf = presented.as_ref().and_then(|presented| presented.chain.first()).and_then(|der| Certificate::parse(der).ok());
            self.credentials.replace(presented, trust).map_err(|error| error.to_string())?;
            self.say(state, None, leaf.map(|leaf| leaf.not_after_unix_s));
            return Ok(());
        }
        self.trust(state)?;
        self.authorities(state, record).await?;
        let own = self.certificate(state, record).await?;
        self.say(state, Some(&own), Some(own.leaf.not_after_unix_s));
        Ok(())
    }

    /// New CAs are trusted before anybody presents their certificates; old ones until the cluster drops them.
    fn trust(&self, state: &ClusterState) -> Result<(), String> {
        let trusted: Vec<Vec<u8>> = state.security.authorities.trusted.values().cloned().collect();
        let before = files::trusted(&self.config.data_dir).map_err(|error| with_sources(&error))?;
        if trusted.is_empty() || trusted == before {
            return Ok(());
        }
        files::save_trusted(&self.config.data_dir, &trusted).map_err(|error| with_sources(&error))?;
        tracing::info!(cas = trusted.len(), "trusted cas changed");
        self.speak()
    }

    /// A director can sign, whichever of them is asked.
    async fn authorities(&self, state: &ClusterState, record: &NodeRecord) -> Result<(), String> {
        let dir = &self.config.data_dir;
        // A rotation that begins here has its key on disk before the cluster knows of it.
        let _turn = self.authority_files.lock().await;
        if self.raft.state().borrow().security.authorities != state.security.authorities {
            return Ok(());
        }
        let wanted = keeper::wanted_authorities(record, &state.security.authorities);
        for fingerprint in &wanted {
            let Some(certificate) = state.security.authorities.trusted.get(fingerprint) else { continue };
            if files::authority(dir, certificate).map_err(|error| with_sources(&error))?.is_some() {
                continue;
            }
            let key = self.raft.fetch_authority(*fingerprint).await.map_err(|error| with_sources(&error))?;
            let authority = Authority::from_parts(certificate, &key).map_err(|error| error.to_string())?;
            files::save_authority(dir, &authority).map_err(|error| with_sources(&error))?;
            tracing::info!(ca = %fingerprint, "this director can sign certificates");
        }
        files::keep_authorities(dir, &wanted.into_iter().collect::<Vec<_>>()).map_err(|error| with_sources(&error))
    }

    async fn certificate(&self, state: &ClusterState, record: &NodeRecord) -> Result<Own, String> {
        let own = self.own()?;
        let unix_s = BootClock.unix_now().as_secs();
        let need = keeper::needed(own.as_ref(), record, &state.security.authorities, unix_s);
        match (need, own) {
            (Some(need), _) => self.renew(need).await,
            (None, Some(own)) => Ok(own),
            (None, None) => Err("this node has no certificate, and the cluster has no ca of its own: see [tls] in docs/security.md".to_owned()),
        }
    }

    async fn renew(&self, need: keeper::Need) -> Result<Own, String> {
        let dir = &self.config.data_dir;
        let key = files::node_key(dir).map_err(|error| with_sources(&error))?;
        let chain = self.raft.request_certificate(authority::request(&key)).await.map_err(|error| with_sources(&error))?;
        let own = read(&chain)?;
        if own.leaf.key != Some(key.public()) {
            return Err("a director signed a certificate for another key".to_owned());
        }
        files::save_certificate(dir, &chain).map_err(|error| with_sources(&error))?;
        self.speak()?;
        tracing::info!(why = %need, ca = %own.issuer, until_unix_s = own.leaf.not_after_unix_s, "certificate renewed");
        Ok(own)
    }

    fn own(&self) -> Result<Option<Own>, String> {
        let chain = files::certificate(&self.config.data_dir).map_err(|error| with_sources(&error))?;
        chain.map(|chain| read(&chain)).transpose()
    }

    fn speak(&self) -> Result<(), String> {
        let (presented, trust) = own_files(&self.config)?;
        self.credentials.replace(presented, trust).map_err(|error| error.to_string())
    }

    fn say(&self, state: &ClusterState, own: Option<&Own>, expires: Option<u64>) {
        let holds = Holds {
            keys: state.security.keyring.keys.keys().copied().collect(),
            authorities: state.security.authorities.trusted.keys().copied().collect(),
            issuer: own.map(|own| own.issuer),
            certificate_expires_unix_s: expires,
        };
        self.holds.send_if_modified(|said| {
            let differs = *said != holds;
            *said = holds;
            differs
        });
    }
}

fn read(chain: &[Vec<u8>]) -> Result<Own, String> {
    let (Some(leaf), Some(issuer)) = (chain.first(), chain.get(1)) else {
        return Err("a certificate came without its ca's".to_owned());
    };
    let leaf = Certificate::parse(leaf).map_err(|error| error.to_string())?;
    Ok(Own { leaf, issuer: tls::fingerprint(issuer) })
}
