//! Answers requests to join, for a certificate, and for a CA's key; passes other questions to Raft and to the parcels.

use super::{
    message::{AuthorityKeyOf, CertifyRequest},
    request::{CertifyRefusal, JoinAccepted, JoinRefusal, SignedJoin},
    task::ClusterMember,
};
use crate::{
    link::certificate::Certificate,
    model::NodeId,
    peers::{AnswerFrame, Answers, Asker, Caller, PeerStatus, QuestionFrame, Topic, VotingPeer, take_parcel},
};
use futures_util::{FutureExt, future::BoxFuture};
use std::time::Duration;

impl Answers for ClusterMember {
    fn voters(&self) -> Vec<VotingPeer> {
        self.raft().voters()
    }

    fn answer<'a>(&'a self, caller: &'a Caller, question: QuestionFrame) -> BoxFuture<'a, AnswerFrame> {
        async move {
            let answered = match &caller.asker {
                Asker::Stranger { certificate } => self.answer_stranger(caller, certificate.as_ref(), &question).await,
                Asker::Member { id, certificate } => self.answer_member(*id, certificate, &question).await,
            };
            answered.unwrap_or_else(|reply| reply)
        }
        .boxed()
    }
}

impl ClusterMember {
    async fn answer_stranger(
        &self,
        caller: &Caller,
        certificate: Option<&Certificate>,
        question: &QuestionFrame,
    ) -> Result<AnswerFrame, AnswerFrame> {
        match question.topic {
            Topic::Join => {
                let signed = question.read()?;
                Ok(AnswerFrame::to::<SignedJoin>(&admit(self, caller, certificate, signed).await))
            }
            Topic::Certify => {
                let CertifyRequest { csr } = question.read()?;
                Ok(AnswerFrame::to::<CertifyRequest>(&certify(self, caller, &csr).await))
            }
            Topic::Raft | Topic::Propose | Topic::Voters | Topic::AuthorityKey | Topic::Parcel => {
                Err(AnswerFrame::Failed("only members may ask that".to_owned()))
            }
        }
    }

    async fn answer_member(
        &self,
        id: NodeId,
        certificate: &Certificate,
        question: &QuestionFrame,
    ) -> Result<AnswerFrame, AnswerFrame> {
        let status = self.raft().directory().status(certificate, id);
        if let Some(reply) = self.raft().answer((id, certificate), &status, question).await {
            return Ok(reply);
        }
        let status = status.map_err(|refusal| self.raft().refused(id, refusal))?;
        match question.topic {
            // A member has passed this request on. It is answered here and is not passed on again.
            Topic::Join => {
                let signed: SignedJoin = question.read()?;
                Ok(AnswerFrame::to::<SignedJoin>(&self.admit_passed_on(signed).await))
            }
            Topic::Certify => {
                let CertifyRequest { csr } = question.read()?;
                Ok(AnswerFrame::to::<CertifyRequest>(&self.certify(&csr).await))
            }
            Topic::AuthorityKey => {
                let asked: AuthorityKeyOf = question.read()?;
                Ok(AnswerFrame::of::<AuthorityKeyOf>(self.hand_over_key(&status, &asked)))
            }
            Topic::Parcel => take_parcel(self.parcels(), id, question),
            Topic::Raft | Topic::Propose | Topic::Voters => {
                Err(AnswerFrame::Failed("this node's raft does not answer that".to_owned()))
            }
        }
    }

    fn hand_over_key(
        &self,
        status: &PeerStatus,
        AuthorityKeyOf(authority): &AuthorityKeyOf,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, String> {
        let PeerStatus::Member { record, director: true } = status else {
            return Err("only directors have the ca's key".to_owned());
        };
        tracing::info!(node = %record.name, %authority, "ca key given to a director");
        self.authority_key(authority)
    }
}

async fn admit(
    member: &ClusterMember,
    caller: &Caller,
    certificate: Option<&Certificate>,
    signed: SignedJoin,
) -> Result<JoinAccepted, JoinRefusal> {
    if let Some(wait) = caller.limits.wait(caller.from.ip()) {
        return Err(JoinRefusal::TooOften { wait_s: rounded_up(wait) });
    }
    let (name, admitted) = match signed.verify() {
        Ok(join) => (Some(join.request().name.clone()), member.admit(&join, certificate).await),
        Err(refusal) => (None, Err(refusal)),
    };
    let refused = admitted.as_ref().err().filter(|refusal| !refusal.is_passing());
    if let Some(reason) = refused.filter(|_| caller.limits.failed(caller.from.ip())) {
        let node = name.as_ref().map_or("(not proved)", |name| name.as_str());
        tracing::warn!(node, from = %caller.from, %reason, "node not let in");
    }
    admitted
}

async fn certify(member: &ClusterMember, caller: &Caller, csr: &[u8]) -> Result<Vec<Vec<u8>>, CertifyRefusal> {
    // A member whose certificate is not trusted fails at every connection; this request is all it needs.
    let is_members = member.raft().directory().is_members(caller.from.ip());
    if let Some(wait) = caller.limits.wait(caller.from.ip()).filter(|_| !is_members) {
        return Err(CertifyRefusal::TooOften { wait_s: rounded_up(wait) });
    }
    let certified = member.certify(csr).await;
    if let Err(reason @ (CertifyRefusal::NoMember | CertifyRefusal::Request(_))) = &certified
        && caller.limits.failed(caller.from.ip())
    {
        tracing::warn!(from = %caller.from, %reason, "certificate not signed");
    }
    certified
}

fn rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
