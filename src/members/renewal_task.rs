//! Keeps this node's certificate, the CAs it trusts and a director's CA keys as the cluster has them, and TLS speaking with them.
//!
//! What fails keeps nothing else from being done, and nothing from being said: a rotation waits for what members say that they have.

use super::{
    renewal::{self, Own, Pause},
    task::ClusterMember,
};
use crate::{
    base::errors::with_sources,
    clock::{BootClock, Clock},
    config::{AgentConfig, agent::TlsConfig},
    gossip::Holds,
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

/// How often validity is looked at, and files of somebody else's CA are read.
const LOOK: Duration = Duration::from_secs(60);

/// What TLS is spoken with when a member starts: what its files say.
///
/// # Errors
/// In one line, with what to do.
pub fn load(config: &AgentConfig) -> Result<Credentials, String> {
    let (presented, trust) = match &config.tls {
        // Roles may have been granted that agent.toml does not know: what is wrong with those shows in the status.
        Some(tls) => external(config, tls, None)?,
        None => own_files(config)?,
    };
    Credentials::new(presented, trust).map_err(|error| error.to_string())
}

/// What agent.toml's `[tls]` names, if it is this node's, with these roles, and of that CA. Whether its time has come or is over is for those to
/// say who meet it.
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

/// What the renewal of one member's certificates works with.
pub struct Renewal {
    /// This node's configuration.
    pub config: Arc<AgentConfig>,
    /// What the cluster says, and whom to ask for a certificate.
    pub member: ClusterMember,
    /// What it keeps.
    pub credentials: Credentials,
    /// What it tells the cluster that it has.
    pub holds: watch::Sender<Holds>,
    /// What it has not brought about at the second attempt either; for the status.
    pub troubles: watch::Sender<Vec<String>>,
    /// Who has it may write keys and certificates of this node.
    pub key_files: Arc<Mutex<()>>,
    /// Somebody else has, or wants the files of `[tls]` to be read now.
    pub look_now: Arc<Notify>,
}

impl Renewal {
    /// Keeps until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        // Every file is written whole or not at all, so it may be stopped anywhere.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let mut state = self.member.raft().state();
        let (mut pause, mut before, mut failing) = (Pause::default(), Vec::new(), Repeats::default());
        loop {
            let known = state.borrow().clone();
            let troubles = self.look().await;
            for why in &troubles {
                if let Some(times) = failing.due(&(), why, BootClock.now()) {
                    tracing::warn!(why, times, "keys and certificates are not yet as they should be");
                }
            }
            let lasting: Vec<String> = troubles.iter().filter(|why| before.contains(*why)).cloned().collect();
            send(&self.troubles, lasting);
            let again = if troubles.is_empty() { LOOK } else { pause.next() };
            before = troubles;
            // All are cancel-safe.
            tokio::select! {
                () = sleep(again) => if before.is_empty() { pause = Pause::default() },
                () = self.look_now.notified() => pause = Pause::default(),
                changed = state.wait_for(|now| renewal::differs(&known, now)) => {
                    if changed.is_err() {
                        return;
                    }
                    pause = Pause::default();
                }
            }
        }
    }

    /// Does what can be done. Gives what could not, and why.
    async fn look(&self) -> Vec<String> {
        let _turn = self.key_files.lock().await;
        // Whoever had the turn before may have changed it.
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

    /// Files that somebody else looks after. Wrong ones are not taken up.
    fn take_external(&self, state: &ClusterState, record: &NodeRecord, tls: &TlsConfig) -> Result<(), String> {
        let taken = external(&self.config, tls, Some(&record.roles)).and_then(|(presented, trust)| {
            let until = presented.as_ref().map(|own| leaf(&own.chain)).transpose()?.map(|leaf| leaf.not_after_unix_s);
            self.credentials.replace(presented, trust).map_err(|error| error.to_string())?;
            Ok(until)
        });
        let certificate_expires_unix_s = *taken.as_ref().unwrap_or(&self.holds.borrow().certificate_expires_unix_s);
        let keys = state.security.keyring.keys.keys().copied().collect();
        let authorities = state.security.authorities.trusted.keys().copied().collect();
        self.say(Holds { keys, authorities, certificate_expires_unix_s, ..Holds::default() });
        taken.map(|_| ()).map_err(|why| format!("{why} (the certificate that was read before stays in use)"))
    }

    /// New CAs are trusted before anybody presents their certificates; old ones until the cluster drops them. Gives those that `join` with a
    /// token took on and that the state does not know yet.
    fn trust(&self, state: &ClusterState) -> Result<Vec<Vec<u8>>, String> {
        let dir = &self.config.data_dir;
        let authorities = &state.security.authorities;
        let taken = files::ahead(dir).map_err(|error| with_sources(&error))?;
        let still = renewal::still_ahead(&fingerprints(&taken), self.own()?.map(|own| own.issuer), authorities);
        let ahead: Vec<Vec<u8>> =
            taken.iter().filter(|der| still.contains(&crate::link::fingerprint::fingerprint(der))).cloned().collect();
        if ahead.len() < taken.len() {
            files::save_ahead(dir, &ahead).map_err(|error| with_sources(&error))?;
            tracing::info!("the state has caught up with the ca that was taken on");
        }
        let trusted: Vec<Vec<u8>> = authorities.trusted.values().chain(&ahead).cloned().collect();
        let before = files::trusted(dir).map_err(|error| with_sources(&error))?;
        if !trusted.is_empty() && trusted != before {
            files::save_trusted(dir, &trusted).map_err(|error| with_sources(&error))?;
            tracing::info!(cas = trusted.len(), "trusted cas changed");
        }
        // What is on the disk may also have been put there by `join`.
        self.speak()?;
        Ok(ahead)
    }

    /// A director can sign, whichever of them is asked. Gives what was not to be had.
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
                "the key of ca {fingerprint} is not to be had: {error}; if no director has it any more, run `lvs-agent ca rotate` on one"
            )
        })?;
        let authority = Authority::from_parts(certificate, &key).map_err(|error| error.to_string())?;
        files::save_authority(&self.config.data_dir, &authority).map_err(|error| with_sources(&error))?;
        tracing::info!(ca = %fingerprint, "this director can sign certificates");
        Ok(())
    }

    async fn certificate(&self, state: &ClusterState, record: &NodeRecord, ahead: &[Vec<u8>]) -> Result<Own, String> {
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

    async fn renew(&self, need: renewal::Need, ahead: &[Vec<u8>]) -> Result<Own, String> {
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

    fn own(&self) -> Result<Option<Own>, String> {
        let chain = files::certificate(&self.config.data_dir).map_err(|error| with_sources(&error))?;
        chain.map(|chain| read(&chain)).transpose()
    }

    fn speak(&self) -> Result<(), String> {
        let (presented, trust) = own_files(&self.config)?;
        self.credentials.replace(presented, trust).map_err(|error| error.to_string())
    }

    fn holds_of(&self, state: &ClusterState, own: Option<&Own>) -> Holds {
        let dir = &self.config.data_dir;
        let has_key = |certificate: &Vec<u8>| matches!(files::authority(dir, certificate), Ok(Some(_)));
        let authorities = state.security.authorities.trusted.iter();
        let signs = authorities.filter(|(_, certificate)| has_key(certificate)).map(|(ca, _)| *ca).collect();
        let trusted = fingerprints(&files::trusted(dir).unwrap_or_default());
        renewal::holds(own, state.security.keyring.keys.keys().copied().collect(), trusted, signs)
    }

    fn say(&self, holds: Holds) {
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

fn read(chain: &[Vec<u8>]) -> Result<Own, String> {
    let issuer = chain.get(1).ok_or("a certificate came without its ca's")?;
    Ok(Own { leaf: leaf(chain)?, issuer: crate::link::fingerprint::fingerprint(issuer) })
}

#[cfg(test)]
mod tests;
