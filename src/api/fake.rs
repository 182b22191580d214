//! An agent for tests: rules in memory, no cluster behind it.

use super::{
    Admin, AdminError, Applied, Founded, IdentityMade, IdentityRequest, IdentityStatus, Membership, Status, TokenMade,
    TokenRequest, TokenStatus, status::sample,
};
use crate::model::{IdentityName, NodeName, Roles, TokenId};
use crate::rules::{Refusal, RuleSet};
use async_trait::async_trait;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// An agent that keeps its rules in memory.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) outside: bool,
    pub(crate) rules: Mutex<(u64, RuleSet)>,
    /// `join` waits for this.
    pub(crate) gate: Notify,
    pub(crate) finished: AtomicUsize,
}

#[async_trait]
impl Admin for Fake {
    async fn status(&self) -> Status {
        if self.outside { Status::outside("d9".parse().unwrap()) } else { sample::status() }
    }

    async fn rules(&self) -> Result<(u64, RuleSet), AdminError> {
        if self.outside { Err(AdminError::NotInCluster) } else { Ok(self.rules.lock().unwrap().clone()) }
    }

    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<Applied, AdminError> {
        let mut current = self.rules.lock().unwrap();
        if let Some(base) = base.filter(|base| *base != current.0) {
            return Err(Refusal::Stale { base, current: current.0 }.into());
        }
        let changed = current.1 != rules;
        *current = (current.0 + u64::from(changed), rules);
        Ok(Applied { revision: current.0, changed })
    }

    async fn init(&self) -> Result<Founded, AdminError> {
        Err(AdminError::InCluster("c1".to_owned()))
    }

    async fn join(&self, seeds: Vec<SocketAddr>, _token: Option<String>) -> Result<Membership, AdminError> {
        if seeds.is_empty() {
            return Err(AdminError::NoSeed(vec!["10.0.0.11:7400: connection refused".to_owned()]));
        }
        self.gate.notified().await;
        self.finished.fetch_add(1, Ordering::SeqCst);
        Ok(Membership { cluster_id: "c1".to_owned(), node: "d9".parse().unwrap() })
    }

    async fn leave(&self) -> Result<(), AdminError> {
        Err(AdminError::NoQuorum("no leader is known".to_owned()))
    }

    async fn make_token(&self, _request: TokenRequest) -> Result<TokenMade, AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn revoke_token(&self, _id: TokenId) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn remove_node(&self, _name: NodeName) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn set_roles(&self, _name: NodeName, _roles: Roles) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn rotate_keys(&self) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn rotate_authority(&self) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn make_identity(&self, _request: IdentityRequest) -> Result<IdentityMade, AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError> {
        Err(AdminError::NotInCluster)
    }

    async fn revoke_identity(&self, _name: IdentityName) -> Result<(), AdminError> {
        Err(AdminError::NotInCluster)
    }
}

/// A directory of its own for one test's socket.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("lvs-agent-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("run/agent.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
