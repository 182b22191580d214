//! Keeps this node's certificate, its trusted CAs and a director's CA keys as the cluster has them, and keeps TLS up to date with them.
//!
//! Each part runs even if another one fails, and the key inventory is always published: a rotation waits for it.

use super::{
    renewal::{self, OwnCertificate, RetryPause},
    task::ClusterMember,
};
use crate::{
    base::errors::with_sources,
    clock::{BootClock, Clock},
    config::{AgentConfig, agent::TlsConfig},
    gossip::KeyInventory,
    link::{
        authority::{self, Authority},
        certificate::Certificate,
        io::files,
        tls::{self, Credentials, Presented, Trust},
    },
    model::{Fingerprint, NodeRecord, Roles},
    repeats::Repeats,
    rules::ClusterState,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often validity is checked, and the files of an external CA are read.
const LOOK: Duration = Duration::from_secs(60);

/// The credentials with which a member starts, from its files.
///
/// # Errors
/// In one line, with what to do.
pub fn load(config: &AgentConfig) -> Result<Credentials, String> {
    let (presented, trust) = match &config.tls {
        // The cluster may have granted roles that agent.toml does not name; a certificate that lacks them shows in the status.
        Some(tls) => external(config, tls, None)?,
        None => own_files(config)?,
    };
    Credentials::new(presented, trust).map_err(|error| error.to_string())
}

/// The credentials that agent.toml's `[tls]` names, if the certificate is this node's, covers these roles and is of that CA. Its dates are not
/// checked here: every peer checks them in the handshake.
///
/// # Errors
/// In one line: which file, what it says, what it should say.
pub fn external(config: &AgentConfig, tls: &TlsConfig, roles: Option<&Roles>) -> Result<(Option<Presented>, Trust), String> {
    let (chain, key) = files::external(&tls.certificate, &tls.key).map_err(|error| with_sources(&error))?;
    let authorities = files::external_authorities(&tls.ca).map_err(|error| with_sources(&error))?;
    let file = tls.certificate.display();
    let leaf = leaf(&chain)?;
    renewal::fits(&leaf, &config.node, roles).map_err(|why| format!("{file}: {why}"))?;
    let now = BootClock.unix_now().as_secs().clamp(leaf.not_before_unix_s, leaf.not_after_unix_s);
    tls::verify(&chain, &authorities, now).map_err(|why| {
        format!("{file} is not of the ca in {}: {why}; put the ca of this cluster's certificates there", tls.ca.display())
    })?;
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

/// The inputs and outputs of one member's certificate renewal.
pub struct Renewal {
    /// This node's configuration.
    pub config: Arc<AgentConfig>,
    /// This member: its replicated state, and the directors to ask for a certificate.
    pub member: ClusterMember,
    /// The credentials that the renewal keeps up to date.
    pub credentials: Credentials,
    /// The key inventory that this node publishes.
    pub holds: watch::Sender<KeyInventory>,
    /// What has failed at two attempts in a row; for the status.
    pub troubles: watch::Sender<Vec<String>>,
    /// The lock that allows writing this node's keys and certificates.
    pub key_files: Arc<Mutex<()>>,
    /// Notified when another task has written them, or when the files of `[tls]` are to be read now.
    pub look_now: Arc<Notify>,
}

impl Renewal {
    /// Runs the renewal until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        // Every file is written whole or not at all, so it may be stopped anywhere.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut state = self.member.raft().state();
        let (mut pause, mut before, mut failing) = (RetryPause::default(), Vec::new(), Repeats::default());
        loop {
            let known = state.borrow().clone();
            let troubles = self.look().await;
            for why in &troubles {
                if let Some(times) = failing.due(&(), why, BootClock.now()) {
                    tracing::warn!(why, times, "certificate renewal failed in part, trying again");
                }
            }
            let lasting: Vec<String> = troubles.iter().filter(|why| before.contains(*why)).cloned().collect();
            send(&self.troubles, lasting);
            let again = if troubles.is_empty() { LOOK } else { pause.next() };
            before = troubles;
            // All are cancel-safe.
            tokio::select! {
                () = sleep(again) => if before.is_empty() { pause = RetryPause::default() },
                () = self.look_now.notified() => pause = RetryPause::default(),
                changed = state.wait_for(|now| renewal::differs(&known, now)) => {
                    if changed.is_err() {
                        return;
                    }
                    pause = RetryPause::default();
                }
            }
        }
    }

    /// Does each part that can be done. Gives the failures with their reasons.
    async fn look(&self) -> Vec<String> {
        let _turn = self.key_files.lock().await;
        // The holder of the lock before this task may have changed the files.
        let state = self.member.raft().state().borrow().clone();
        let Some(record) = state.nodes.get(&self.config.node) else { return Vec::new() };
        let mut troubles = Vec::new();
        if let Some(tls) = &self.config.tls {
            troubles.extend(self.take_external(&state, record, tls).err());
            return troubles;
        }
        let ahead = self.trust(&state).unwrap_or_else(|why| {
            troubles.push(why);
            Vec::new()
        });
        troubles.extend(self.authorities(&state, record).await);
        let own = match self.certificate(&state, record, &ahead).await {
            Ok(own) => Some(own),
            Err(why) => {
                troubles.push(why);
                self.own().ok().flatten()
            }
        };
        self.say(self.holds_of(&state, own.as_ref()));
        troubles
    }

    /// Reads the files of an external CA again. Wrong ones are not used.
    fn take_external(&self, state: &ClusterState, record: &NodeRecord, tls: &TlsConfig) -> Result<(), String> {
        let taken = external(&self.config, tls, Some(&record.roles)).and_then(|(presented, trust)| {
            let until = presented.as_ref().map(|own| leaf(&own.chain)).transpose()?.map(|leaf| leaf.not_after_unix_s);
            self.credentials.replace(presented, trust).map_err(|error| error.to_string())?;
            Ok(until)
        });
        let certificate_expires_unix_s = *taken.as_ref().unwrap_or(&self.holds.borrow().certificate_expires_unix_s);
        let keys = state.security.keyring.keys.keys().copied().collect();
        let authorities = state.security.authorities.trusted.keys().copied().collect();
        self.say(KeyInventory { keys, authorities, certificate_expires_unix_s, ..KeyInventory::default() });
        taken.map(|_| ()).map_err(|why| format!("{why} (the certificate that was read before stays in use)"))
    }

    /// Trusts new CAs before any node presents their certificates, and old ones until the cluster drops them. Gives the CAs that `join` with a token
    /// has added and that the state does not know yet.
    fn trust(&self, state: &ClusterState) -> Result<Vec<Vec<u8>>, String> {
        let dir = &self.config.data_dir;
        let authorities = &state.security.authorities;
        let taken = files::ahead(dir).map_err(|error| with_sources(&error))?;
        let still = renewal::still_ahead(&fingerprints(&taken), self.own()?.map(|own| own.issuer), authorities);
        let ahead: Vec<Vec<u8>> =
            taken.iter().filter(|der| still.contains(&crate::link::fingerprint::fingerprint(der))).cloned().collect();
        if ahead.len() < taken.len() {
            files::save_ahead(dir, &ahead).map_err(|error| with_sources(&error))?;
            tracing::info!("the state now knows the ca that the join token named");
        }
        let trusted: Vec<Vec<u8>> = authorities.trusted.values().chain(&ahead).cloned().collect();
        let before = files::trusted(dir).map_err(|error| with_sources(&error))?;
        if !trusted.is_empty() && trusted != before {
            files::save_trusted(dir, &trusted).map_err(|error| with_sources(&error))?;
            tracing::info!(cas = trusted.len(), "trusted cas changed");
        }
        // `join` may also have written the file.
        self.speak()?;
        Ok(ahead)
    }

    /// Fetches the CA keys that a director needs, so that every director can sign. Gives the keys that could not be fetched.
    async fn authorities(&self, state: &ClusterState, record: &NodeRecord) -> Vec<String> {
        let dir = &self.config.data_dir;
        let wanted = renewal::wanted_authorities(record, &state.security.authorities);
        let mut troubles = Vec::new();
        for fingerprint in &wanted {
            let Some(certificate) = state.security.authorities.trusted.get(fingerprint) else { continue };
            match files::authority(dir, certificate) {
                Ok(Some(_)) => {}
                Ok(None) => troubles.extend(self.fetch_authority(*fingerprint, certificate).await.err()),
                Err(error) => troubles.push(with_sources(&error)),
            }
        }
        let kept = files::keep_authorities(dir, &wanted.into_iter().collect::<Vec<_>>());
        troubles.extend(kept.err().map(|error| with_sources(&error)));
        troubles
    }

    async fn fetch_authority(&self, fingerprint: Fingerprint, certificate: &[u8]) -> Result<(), String> {
        let key = self.member.fetch_authority(fingerprint).await.map_err(|error| {
            format!(
                "the key of ca {fingerprint} cannot be fetched: {error}; if no director has it any more, run `lvs-agent ca rotate` on one"
            )
        })?;
        let authority = Authority::from_parts(certificate, &key).map_err(|error| error.to_string())?;
        files::save_authority(&self.config.data_dir, &authority).map_err(|error| with_sources(&error))?;
        tracing::info!(ca = %fingerprint, "this director can sign certificates");
        Ok(())
    }

    async fn certificate(&self, state: &ClusterState, record: &NodeRecord, ahead: &[Vec<u8>]) -> Result<OwnCertificate, String> {
        let own = self.own()?;
        let unix_s = BootClock.unix_now().as_secs();
        let need = renewal::needed(own.as_ref(), record, &state.security.authorities, &fingerprints(ahead), unix_s);
        match (need, own) {
            (Some(need), _) => self.renew(need, ahead).await,
            (None, Some(own)) => Ok(own),
            (None, None) => {
                Err("this node has no certificate, and the cluster has no ca of its own: see [tls] in docs/security.md"
                    .to_owned())
            }
        }
    }

    async fn renew(&self, need: renewal::RenewalReason, ahead: &[Vec<u8>]) -> Result<OwnCertificate, String> {
        let dir = &self.config.data_dir;
        let key = files::node_key(dir).map_err(|error| with_sources(&error))?;
        let asked = self.member.request_certificate(authority::request(&key), ahead).await;
        let chain = asked.map_err(|error| format!("no new certificate ({need}): {error}"))?;
        let own = read(&chain)?;
        files::save_certificate(dir, &chain).map_err(|error| with_sources(&error))?;
        self.speak()?;
        tracing::info!(why = %need, ca = %own.issuer, until_unix_s = own.leaf.not_after_unix_s, "certificate renewed");
        Ok(own)
    }

    fn own(&self) -> Result<Option<OwnCertificate>, String> {
        let chain = files::certificate(&self.config.data_dir).map_err(|error| with_sources(&error))?;
        chain.map(|chain| read(&chain)).transpose()
    }

    fn speak(&self) -> Result<(), String> {
        let (presented, trust) = own_files(&self.config)?;
        self.credentials.replace(presented, trust).map_err(|error| error.to_string())
    }

    fn holds_of(&self, state: &ClusterState, own: Option<&OwnCertificate>) -> KeyInventory {
        let dir = &self.config.data_dir;
        let has_key = |certificate: &Vec<u8>| matches!(files::authority(dir, certificate), Ok(Some(_)));
        let authorities = state.security.authorities.trusted.iter();
        let signs = authorities.filter(|(_, certificate)| has_key(certificate)).map(|(ca, _)| *ca).collect();
        let trusted = fingerprints(&files::trusted(dir).unwrap_or_default());
        renewal::holds(own, state.security.keyring.keys.keys().copied().collect(), trusted, signs)
    }

    fn say(&self, holds: KeyInventory) {
        send(&self.holds, holds);
    }
}

fn send<T: PartialEq>(to: &watch::Sender<T>, value: T) {
    to.send_if_modified(|said| {
        let differs = *said != value;
        *said = value;
        differs
    });
}

fn fingerprints(certificates: &[Vec<u8>]) -> BTreeSet<Fingerprint> {
    certificates.iter().map(|der| crate::link::fingerprint::fingerprint(der)).collect()
}

fn leaf(chain: &[Vec<u8>]) -> Result<Certificate, String> {
    let leaf = chain.first().ok_or("there is no certificate")?;
    Certificate::parse(leaf).map_err(|error| error.to_string())
}

fn read(chain: &[Vec<u8>]) -> Result<OwnCertificate, String> {
    let issuer = chain.get(1).ok_or("a certificate came without its ca's")?;
    Ok(OwnCertificate { leaf: leaf(chain)?, issuer: crate::link::fingerprint::fingerprint(issuer) })
}

#[cfg(test)]
mod tests;
