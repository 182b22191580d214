//! The admin protocol as this agent answers it: reads at once, changes by Raft, membership by the worker's main loop.

use super::{
    answering::answering,
    member::{Member, Stage},
    orders::Order,
    security,
};
use crate::{
    api::{
        AdminError, ApplyOutcome, IdentityMade, IdentityRequest, IdentityStatus, InitAnswer, JoinAnswer, LeaveRequest,
        MembersAdmin, RulesAdmin, SecurityAdmin, Status, TokenMade, TokenRequest, TokenStatus, WithdrawAnswer,
    },
    base::build::VERSION,
    config::AgentConfig,
    link::token::JoinToken,
    model::{IdentityName, NodeName, Roles, TokenId},
    rules::{Command, RuleSet, SecurityChange, Warning},
    status::{WITHDRAWN_HERE, other_guard, warnings::warnings},
};
use async_trait::async_trait;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

/// The agent as the API sees it.
pub struct Agent {
    config: Arc<AgentConfig>,
    seen: Seen,
    orders: mpsc::Sender<Order>,
}

/// What the API sees of the worker's life.
pub struct Seen {
    /// The version of the guard that has started this worker.
    pub guard_version: String,
    /// Has the running member, if this node is one.
    pub stage: watch::Receiver<Stage>,
    /// An administrator has taken this node out of service.
    pub withdrawn: watch::Receiver<bool>,
    /// Why this node's kernel does not stop VIPs at the end of their leases, if it does not.
    pub no_fence: watch::Receiver<Option<String>>,
}

impl Agent {
    /// `orders` go to the worker's main loop.
    pub fn new(config: Arc<AgentConfig>, seen: Seen, orders: mpsc::Sender<Order>) -> Self {
        Self { config, seen, orders }
    }

    fn member(&self) -> Result<Arc<Member>, AdminError> {
        self.seen.stage.borrow().member()
    }

    /// Directors administer the cluster: a real server that was broken into should not.
    fn director(&self) -> Result<Arc<Member>, AdminError> {
        let member = self.member()?;
        security::must_be_director(&member.state(), &self.config.node)?;
        Ok(member)
    }

    async fn order<T>(&self, make: impl FnOnce(oneshot::Sender<Result<T, AdminError>>) -> Order) -> Result<T, AdminError> {
        let (reply, answer) = oneshot::channel();
        let gone = || AdminError::Internal("the agent is stopping".to_owned());
        self.orders.send(make(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl RulesAdmin for Agent {
    async fn status(&self) -> Status {
        let mut status = match self.member() {
            Ok(member) => member.status(),
            Err(why) => Status::without_member(self.config.node.clone(), &why),
        };
        status.problems.extend(other_guard(&self.seen.guard_version, VERSION));
        status.problems.extend(self.seen.withdrawn.borrow().then(|| WITHDRAWN_HERE.to_owned()));
        status.guard_version = Some(self.seen.guard_version.clone());
        status.no_fence.clone_from(&self.seen.no_fence.borrow());
        status
    }

    async fn rules(&self) -> Result<(u64, RuleSet), AdminError> {
        let state = self.member()?.state();
        Ok((state.revision, state.rules.clone()))
    }

    async fn warnings(&self, rules: &RuleSet) -> Result<Vec<Warning>, AdminError> {
        let member = self.member()?;
        let (state, view) = (member.state(), member.view());
        let mut found = warnings(rules, &state, &view);
        let answering = answering(&self.config.node, rules, &state, &view, &found).await;
        found.extend(answering);
        Ok(found)
    }

    async fn apply(&self, rules: RuleSet, base: Option<u64>) -> Result<ApplyOutcome, AdminError> {
        let member = self.director()?;
        let made = member.change(Command::Apply { base_revision: base, rules }).await?;
        Ok(ApplyOutcome { revision: made.revision, changed: made.changed })
    }
}

#[async_trait]
impl MembersAdmin for Agent {
    async fn init(&self) -> Result<InitAnswer, AdminError> {
        self.order(Order::Init).await
    }

    async fn join(&self, seeds: Vec<SocketAddr>, token: Option<Zeroizing<String>>) -> Result<JoinAnswer, AdminError> {
        let token = token.map(|text| text.parse::<JoinToken>()).transpose();
        let token = token.map_err(|error| AdminError::Invalid(error.to_string()))?;
        self.order(|reply| Order::Join { seeds, token, reply }).await
    }

    async fn leave(&self, how: LeaveRequest) -> Result<(), AdminError> {
        self.member()?;
        self.order(|reply| Order::Leave { how, reply }).await
    }

    async fn withdraw(&self) -> Result<WithdrawAnswer, AdminError> {
        self.order(|reply| Order::Withdraw { reply }).await
    }

    async fn restart_worker(&self) -> Result<(), AdminError> {
        self.order(Order::RestartWorker).await
    }

    async fn remove_node(&self, name: NodeName) -> Result<(), AdminError> {
        security::remove_node(&*self.director()?, &self.config.node, name).await
    }

    async fn allow_node(&self, name: NodeName) -> Result<(), AdminError> {
        let allowed = Command::Security(SecurityChange::NodeAllowed(name.clone()));
        self.director()?.change(allowed).await?;
        tracing::info!(node = %name, "removed node allowed back by an administrator");
        Ok(())
    }

    async fn set_roles(&self, name: NodeName, roles: Roles) -> Result<(), AdminError> {
        security::set_roles(&*self.director()?, name, roles).await
    }
}

#[async_trait]
impl SecurityAdmin for Agent {
    async fn make_token(&self, request: TokenRequest) -> Result<TokenMade, AdminError> {
        security::make_token(&*self.director()?, &self.config.node, request).await
    }

    async fn tokens(&self) -> Result<Vec<TokenStatus>, AdminError> {
        Ok(security::tokens(&self.member()?.state()))
    }

    async fn revoke_token(&self, id: TokenId) -> Result<(), AdminError> {
        security::revoke_token(&*self.director()?, id).await
    }

    async fn rotate_keys(&self) -> Result<(), AdminError> {
        security::rotate_keys(&*self.director()?).await
    }

    async fn rotate_authority(&self) -> Result<(), AdminError> {
        security::rotate_authority(&*self.director()?, &self.config).await
    }

    async fn make_identity(&self, request: IdentityRequest) -> Result<IdentityMade, AdminError> {
        security::make_identity(&*self.director()?, &self.config, request).await
    }

    async fn identities(&self) -> Result<Vec<IdentityStatus>, AdminError> {
        Ok(security::identities(&self.member()?.state()))
    }

    async fn revoke_identity(&self, name: IdentityName) -> Result<(), AdminError> {
        security::revoke_identity(&*self.director()?, name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Access;

    fn seen() -> Seen {
        let (stage, withdrawn) = (watch::channel(Stage::Outside).1, watch::channel(false).1);
        Seen { guard_version: VERSION.to_owned(), stage, withdrawn, no_fence: watch::channel(None).1 }
    }

    #[tokio::test]
    async fn a_guard_of_another_version_and_a_withdrawal_are_problems_of_this_node() {
        let text = "node = \"r1\"\nroles = [\"real-server\"]\naddress = \"10.0.0.21\"\n";
        let config = Arc::new(AgentConfig::parse("agent.toml", text, "r1").unwrap());
        let no_fence = watch::channel(Some("no nftables".to_owned())).1;
        let seen = Seen { guard_version: "0.0.9".to_owned(), withdrawn: watch::channel(true).1, no_fence, ..seen() };
        let status = Agent::new(config, seen, mpsc::channel(1).0).status().await;
        assert_eq!(status.guard_version.as_deref(), Some("0.0.9"));
        assert_eq!(status.no_fence.as_deref(), Some("no nftables"));
        assert!(status.problems[1].starts_with("the guard of this node runs version 0.0.9"), "{:?}", status.problems);
        assert_eq!(status.problems[2], WITHDRAWN_HERE);
    }

    #[tokio::test]
    async fn outside_of_a_cluster_nothing_is_answered_but_what_enters_one() {
        let text = "node = \"r1\"\nroles = [\"real-server\"]\naddress = \"10.0.0.21\"\n";
        let config = Arc::new(AgentConfig::parse("agent.toml", text, "r1").unwrap());
        let agent = Agent::new(config, seen(), mpsc::channel(1).0);
        let (r2, ann): (NodeName, IdentityName) = ("r2".parse().unwrap(), "ann".parse().unwrap());
        let roles = Roles::new([crate::model::Role::Witness]).unwrap();
        let token = TokenRequest { ttl_s: 60, uses: 1, roles: roles.clone() };
        let identity = IdentityRequest { name: ann.clone(), access: Access::ReadOnly, ttl_s: 60 };
        let answers = [
            agent.rules().await.err(),
            agent.apply(RuleSet::default(), None).await.err(),
            agent.leave(LeaveRequest::default()).await.err(),
            agent.leave(LeaveRequest { force: true, confirmed: true }).await.err(),
            agent.make_token(token).await.err(),
            agent.tokens().await.err(),
            agent.revoke_token(TokenId([1; 8])).await.err(),
            agent.remove_node(r2.clone()).await.err(),
            agent.allow_node(r2.clone()).await.err(),
            agent.set_roles(r2, roles).await.err(),
            agent.rotate_keys().await.err(),
            agent.rotate_authority().await.err(),
            agent.make_identity(identity).await.err(),
            agent.identities().await.err(),
            agent.revoke_identity(ann).await.err(),
        ];
        assert!(answers.iter().all(|answer| *answer == Some(AdminError::NotInCluster)), "{answers:?}");
        let status = agent.status().await;
        assert_eq!(status.problems, [AdminError::NotInCluster.to_string()]);
    }
}
