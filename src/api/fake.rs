//! An agent for tests: rules, members, tokens and identities in memory, with a real CA; no cluster behind it.

use super::{
    AdminError, ApplyOutcome, Authoriser, IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, JoinAnswer, LeaveRequest,
    MembersAdmin, RemoteAdmin, RulesAdmin, SecurityAdmin, Status, TokenMade, TokenRequest, TokenStatus, WithdrawAnswer,
    status::sample,
};
use crate::{
    clock::{BootClock, Clock},
    link::{
        authority::{Authority, NodeSubject, request},
        certificate::{Certificate, Subject},
        io::files,
        node_key::NodeKey,
        tls::{Credentials, Presented, Trust},
        token::JoinToken,
    },
    model::{Access, IdentityName, KeyId, NodeId, NodeName, Role, Roles, TokenId},
    rules::{CommandRefusal, RuleSet, SecurityRefusal, Warning},
};
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// An agent that keeps all in memory.
pub(crate) struct Fake {
    pub(crate) outside: bool,
    pub(crate) rules: Mutex<(u64, RuleSet)>,
    /// What it says of any rules.
    pub(crate) warnings: Mutex<Vec<Warning>>,
    /// `join` waits for this.
    pub(crate) gate: Notify,
    pub(crate) finished: AtomicUsize,
    /// What the last `join` brought.
    pub(crate) joined_with: Mutex<Option<Zeroizing<String>>>,
    pub(crate) authority: Authority,
    pub(crate) status: Mutex<Status>,
    pub(crate) tokens: Mutex<BTreeMap<TokenId, TokenStatus>>,
    pub(crate) identities: Mutex<BTreeMap<IdentityName, IdentityStatus>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            outside: false,
            rules: Mutex::default(),
            warnings: Mutex::default(),
            gate: Notify::default(),
            finished: AtomicUsize::default(),
            joined_with: Mutex::default(),
            authority: Authority::make("c1", unix_now()),
            status: Mutex::new(sample::status()),
            tokens: Mutex::default(),
            identities: Mutex::default(),
        }
    }
}

/// Certificates are checked against the real clock.
fn unix_now() -> Duration {
    BootClock.unix_now()
}

impl Fake {
    /// What node d1 of this cluster presents.
    pub(crate) fn credentials(&self) -> Credentials {
        let key = NodeKey::generate();
        let (name, roles) = ("d1".parse().unwrap(), Roles::new([Role::Director]).unwrap());
        let subject = NodeSubject { cluster_id: "c1", name: &name, id: NodeId(1), roles: &roles };
        let own = self.authority.sign_node(&request(&key), &subject, unix_now()).unwrap();
        let authority = self.authority.certificate().to_vec();
        let presented = Presented { chain: vec![own.der, authority.clone()], key: Zeroizing::new(key.pkcs8().to_vec()) };
        Credentials::new(Some(presented), Trust::Authorities(vec![authority])).unwrap()
    }
}

impl Authoriser for Fake {
    fn access(&self, certificate: &Certificate) -> Result<RemoteAdmin, String> {
        match &certificate.subject {
            Subject::Identity { name, access } => {
                let known = self.identities.lock().unwrap().get(name).cloned();
                known
                    .filter(|known| known.certificate == certificate.fingerprint)
                    .map(|_| RemoteAdmin { name: name.to_string(), access: *access })
                    .ok_or_else(|| format!("the certificate of {name} was revoked"))
            }
            Subject::Node { name, .. } => Ok(RemoteAdmin { name: name.to_string(), access: Access::ReadOnly }),
        }
    }
}

#[async_trait]
impl RulesAdmin for Fake {
    async fn status(&self) -> Status {
        if self.outside { Status::outside("d9".parse().unwrap()) } else { self.status.lock().unwrap().clone() }
    }

    async fn rules(&self) -> Result<(u64, RuleSet), AdminError> {
        self.inside()?;
        Ok(self.rules.lock().unwrap().clone())
    }

    async fn warnings(&self, _rules: &RuleSet) -> Result<Vec<Warning>, AdminError> {
        if self.outside { Err(AdminError::NotInCluster) } else { Ok(self.warnings.lock().unwrap().clone()) }
    }

    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<ApplyOutcome, AdminError> {
        self.inside()?;
        let mut current = self.rules.lock().unwrap();
        if let Some(base) = base.filter(|base| *base != current.0) {
            return Err(CommandRefusal::Stale { base, current: current.0 }.into());
        }
        let changed = current.1 != rules;
        *current = (current.0 + u64::from(changed), rules);
        Ok(ApplyOutcome { revision: current.0, changed })
    }
}

#[async_trait]
impl MembersAdmin for Fake {
    async fn init(&self) -> Result<InitAnswer, AdminError> {
        if !self.outside {
            return Err(AdminError::InCluster("c1".to_owned()));
        }
        let roles = Roles::new(Role::ALL).unwrap();
        let token = self.token(TokenRequest { ttl_s: 3600, uses: 100, roles });
        let membership = JoinAnswer { cluster_id: "c1".to_owned(), node: "d9".parse().unwrap() };
        Ok(InitAnswer { membership, seed: "10.0.0.19:7400".parse().unwrap(), token: Some(token) })
    }

    async fn join(&self, seeds: Vec<SocketAddr>, token: Option<Zeroizing<String>>) -> Result<JoinAnswer, AdminError> {
        *self.joined_with.lock().unwrap() = token;
        if seeds.is_empty() {
            return Err(AdminError::NoSeed(vec!["10.0.0.11:7400: connection refused".to_owned()]));
        }
        self.gate.notified().await;
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(JoinAnswer { cluster_id: "c1".to_owned(), node: "d9".parse().unwrap() })
    }

    async fn leave(&self, how: LeaveRequest) -> Result<(), AdminError> {
        self.inside()?;
        let alone = self.status.lock().unwrap().nodes.len() == 1;
        match how {
            LeaveRequest { force: true, .. } => Ok(()),
            LeaveRequest { confirmed: true, .. } if alone => Ok(()),
            _ if alone => Err(AdminError::Unconfirmed("this is the only node".to_owned())),
            _ => Err(AdminError::NoQuorum("no leader is known".to_owned())),
        }
    }

    async fn withdraw(&self) -> Result<WithdrawAnswer, AdminError> {
        let node = if self.outside { "d9" } else { "d1" }.parse().unwrap();
        Ok(WithdrawAnswer { node, withdrawn: !self.outside, changes: 3, warnings: Vec::new() })
    }

    /// It goes on: a fake has no guard.
    async fn restart_worker(&self) -> Result<(), AdminError> {
        Ok(())
    }

    async fn remove_node(&self, name: NodeName) -> Result<(), AdminError> {
        self.inside()?;
        self.member(&name)?;
        let mut status = self.status.lock().unwrap();
        status.nodes.retain(|node| node.name != name);
        status.cluster.as_mut().unwrap().security.barred.push(name);
        Ok(())
    }

    async fn allow_node(&self, name: NodeName) -> Result<(), AdminError> {
        self.inside()?;
        let mut status = self.status.lock().unwrap();
        let barred = &mut status.cluster.as_mut().unwrap().security.barred;
        let at = barred.iter().position(|known| *known == name);
        barred.remove(at.ok_or_else(|| CommandRefusal::from(SecurityRefusal::NotBarred(name)))?);
        Ok(())
    }

    async fn set_roles(&self, name: NodeName, roles: Roles) -> Result<(), AdminError> {
        self.inside()?;
        let at = self.member(&name)?;
        self.status.lock().unwrap().nodes[at].roles = roles;
        Ok(())
    }
}

#[async_trait]
impl SecurityAdmin for Fake {
    async fn make_token(&self, request: TokenRequest) -> Result<TokenMade, AdminError> {
        self.inside()?;
        Ok(self.token(request))
    }

    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError> {
        self.inside()?;
        Ok(self.tokens.lock().unwrap().values().cloned().collect())
    }

    async fn revoke_token(&self, id: TokenId) -> Result<(), AdminError> {
        self.inside()?;
        let gone = self.tokens.lock().unwrap().remove(&id);
        gone.map(|_| ()).ok_or_else(|| CommandRefusal::from(SecurityRefusal::NotThere(id)).into())
    }

    /// Done at once, key 2 after key 1.
    async fn rotate_keys(&self) -> Result<(), AdminError> {
        self.inside()?;
        let mut status = self.status.lock().unwrap();
        let security = &mut status.cluster.as_mut().unwrap().security;
        security.key = Some(KeyId(security.key.map_or(1, |key| key.0) + 1));
        Ok(())
    }

    /// Never done.
    async fn rotate_authority(&self) -> Result<(), AdminError> {
        self.inside()?;
        let mut status = self.status.lock().unwrap();
        let security = &mut status.cluster.as_mut().unwrap().security;
        match security.rotating.replace("certificates change over".to_owned()) {
            None => Ok(()),
            Some(_) => Err(CommandRefusal::from(SecurityRefusal::Rotating).into()),
        }
    }

    async fn make_identity(&self, request: IdentityRequest) -> Result<IdentityMade, AdminError> {
        self.inside()?;
        let IdentityRequest { name, access, ttl_s } = request;
        let lifetime = Duration::from_secs(ttl_s);
        let (leaf, key) = self.authority.make_identity("c1", &name, access, lifetime, unix_now()).unwrap();
        let status =
            IdentityStatus { name: name.clone(), access, certificate: leaf.fingerprint, expires_unix_s: leaf.not_after_unix_s };
        self.identities.lock().unwrap().insert(name, status.clone());
        Ok(IdentityMade { bundle: files::bundle(&key, &leaf.der, &[self.authority.certificate().to_vec()]), status })
    }

    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError> {
        self.inside()?;
        Ok(self.identities.lock().unwrap().values().cloned().collect())
    }

    async fn revoke_identity(&self, name: IdentityName) -> Result<(), AdminError> {
        self.inside()?;
        let gone = self.identities.lock().unwrap().remove(&name);
        gone.map(|_| ()).ok_or_else(|| CommandRefusal::from(SecurityRefusal::NoSuchIdentity(name)).into())
    }
}

impl Fake {
    fn inside(&self) -> Result<(), AdminError> {
        if self.outside { Err(AdminError::NotInCluster) } else { Ok(()) }
    }

    fn token(&self, request: TokenRequest) -> TokenMade {
        let secret = JoinToken::make(self.authority.fingerprint());
        let status = TokenStatus {
            id: secret.id(),
            roles: request.roles,
            uses_left: request.uses,
            expires_unix_s: unix_now().as_secs() + request.ttl_s,
            made_by: "d1".parse().unwrap(),
        };
        self.tokens.lock().unwrap().insert(secret.id(), status.clone());
        TokenMade { token: secret.text(), status }
    }

    fn member(&self, name: &NodeName) -> Result<usize, AdminError> {
        let at = self.status.lock().unwrap().nodes.iter().position(|node| node.name == *name);
        at.ok_or_else(|| AdminError::Refused(format!("no node is called {name}")))
    }
}

/// A directory of its own for one test's socket.
pub(crate) struct SocketDir(PathBuf);

impl SocketDir {
    pub(crate) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("lvs-agent-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("run/agent.sock")
    }
}

impl Drop for SocketDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
