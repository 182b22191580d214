//! Letting nodes in: any member takes the request, the leader decides and commits, one at a time.

use super::{
    admission::{Admission, AdmissionInput, decide},
    recent_admissions::RecentAdmissions,
    request::{JoinAccepted, JoinRefusal, SignedJoin, VerifiedJoin},
    task::ClusterMember,
};
use crate::{
    clock::{BootClock, Clock},
    link::certificate::Certificate,
    model::{NodeId, NodeRecord},
    peers::CallError,
    raft::{NotLeading, Proposed},
    rules::{ClusterState, Command},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How long a member tries to have a node let in. The node that asks waits a little longer.
const ADMIT_DEADLINE: Duration = Duration::from_secs(10);
/// The leader's answer takes this long at most: it waits for its turn, confirms that it leads, and commits.
const PASS_ON_DEADLINE: Duration = Duration::from_secs(8);
/// Why this node has not let another one in.
enum NotAdmitted {
    /// The leader decided against it.
    No(JoinRefusal),
    /// This node does not decide.
    NotLeader(Option<NodeId>),
}

impl From<JoinRefusal> for NotAdmitted {
    fn from(refusal: JoinRefusal) -> Self {
        NotAdmitted::No(refusal)
    }
}

impl From<NotLeading> for NotAdmitted {
    fn from(why: NotLeading) -> Self {
        match why {
            NotLeading::Other(leader) => NotAdmitted::NotLeader(leader),
            NotLeading::NoQuorum(why) => NotAdmitted::No(JoinRefusal::NoQuorum(why)),
        }
    }
}

impl ClusterMember {
    /// Lets a node in that asks this one: here when this node leads, else at the leader.
    pub(super) async fn admit(
        &self,
        join: &VerifiedJoin,
        certificate: Option<&Certificate>,
    ) -> Result<JoinAccepted, JoinRefusal> {
        let until = Instant::now() + ADMIT_DEADLINE;
        loop {
            let refusal = match self.admit_here(join, certificate).await {
                Ok(accepted) => return Ok(accepted),
                Err(NotAdmitted::No(refusal)) => refusal,
                Err(NotAdmitted::NotLeader(None)) => JoinRefusal::NoQuorum("no leader is known".to_owned()),
                Err(NotAdmitted::NotLeader(Some(leader))) => match self.pass_on(leader, join.signed()).await {
                    Ok(accepted) => return Ok(accepted),
                    Err(refusal) => refusal,
                },
            };
            let is_final = !matches!(refusal, JoinRefusal::NoQuorum(_));
            if is_final || Instant::now() + self.raft().timing().election_max >= until {
                return Err(refusal);
            }
            sleep(self.raft().timing().pause).await;
        }
    }

    /// As [`Self::admit`], for a request that another member has passed on: this node decides it, or refuses.
    pub(super) async fn admit_passed_on(&self, signed: SignedJoin) -> Result<JoinAccepted, JoinRefusal> {
        self.admit_here(&signed.verify()?, None).await.map_err(|not| match not {
            NotAdmitted::No(refusal) => refusal,
            NotAdmitted::NotLeader(_) => JoinRefusal::NoQuorum(format!("{} does not lead any more", self.raft().id())),
        })
    }

    async fn pass_on(&self, leader: NodeId, signed: &SignedJoin) -> Result<JoinAccepted, JoinRefusal> {
        let no_quorum = |why: String| Err(JoinRefusal::NoQuorum(why));
        let Some(addr) = self.raft().address_of(leader) else {
            return no_quorum(format!("leader {leader} has no known address"));
        };
        if self.raft().published().borrow().state.security.authorities.issuing.is_none() {
            // The leader decides by a certificate, and only the holder can show it.
            return Err(JoinRefusal::AskLeader(addr));
        }
        match self.raft().peers().call(Some(leader), addr, signed, PASS_ON_DEADLINE).await {
            Ok(joined) => joined,
            Err(CallError::Failed { why, .. }) => no_quorum(why),
            Err(error) => no_quorum(error.to_string()),
        }
    }

    async fn admit_here(&self, join: &VerifiedJoin, certificate: Option<&Certificate>) -> Result<JoinAccepted, NotAdmitted> {
        let request = join.request();
        // One request at a time: of two nodes with the same name, the second finds that the first is a member.
        let mut recent_admissions = self.recent_admissions().lock().await;
        self.raft().leads_and_knows().await?;
        let id = match self.decide(join, certificate, &recent_admissions)? {
            Admission::Is(id) => id,
            Admission::Commit(change) => {
                let id = self.commit_join(change).await?;
                recent_admissions.note(&request.name, BootClock.now());
                id
            }
        };
        drop(recent_admissions);
        tracing::info!(node = %request.name, %id, addr = %request.addr, version = ?request.version, "node joined");
        Ok(accepted(&self.raft().published().borrow().state.clone(), id))
    }

    fn decide(
        &self,
        join: &VerifiedJoin,
        certificate: Option<&Certificate>,
        recent_admissions: &RecentAdmissions,
    ) -> Result<Admission, JoinRefusal> {
        let state = self.raft().published().borrow().state.clone();
        let (live, liveness, now) = (self.raft().live(), self.raft().liveness(), BootClock.now());
        let is_heard = |node: &NodeRecord| live.borrow().contains(&node.name);
        let is_awaited = |node: &NodeRecord| recent_admissions.has(&node.name, &liveness, now);
        let now_unix_s = BootClock.unix_now().as_secs();
        decide(&AdmissionInput { state: &state, join, certificate, is_heard: &is_heard, is_awaited: &is_awaited, now_unix_s })
    }

    async fn commit_join(&self, change: Command) -> Result<NodeId, NotAdmitted> {
        let no_quorum = |why: &str| Err(NotAdmitted::No(JoinRefusal::NoQuorum(why.to_owned())));
        match self.raft().propose_here(change).await {
            Proposed::Done(applied) => match applied.result {
                Ok(Some(id)) => Ok(id),
                Ok(None) => no_quorum("no number was given"),
                Err(refusal) => Err(JoinRefusal::Refused(refusal).into()),
            },
            Proposed::NotLeader { leader } => Err(NotAdmitted::NotLeader(leader)),
            // If the entry was committed after all, the node is a member with this key when it asks again, and needs no token.
            Proposed::Unknown(why) | Proposed::Forbidden(why) => no_quorum(&why),
        }
    }
}

fn accepted(state: &Arc<ClusterState>, id: NodeId) -> JoinAccepted {
    JoinAccepted {
        cluster_id: state.cluster_id.clone(),
        id,
        timing: state.timing,
        nodes: state.nodes.values().cloned().collect(),
        authorities: state.security.authorities.trusted.values().cloned().collect(),
    }
}
