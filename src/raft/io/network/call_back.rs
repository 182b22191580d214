//! Asking who has spoken to this node, or others about it, over a connection of one's own; and what such answers came to.

use super::{CallError, Peers, Who, exchange};
use crate::{
    link::certificate::Certificate,
    model::NodeId,
    raft::{
        message::{Request, Response},
        vouching::Vouched,
    },
};
use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// Who was said to vote, and that it should be asked who does.
#[derive(Default)]
pub(super) struct Vouching {
    vouched: Mutex<Vouched>,
    doubts: Notify,
}

impl Peers {
    /// Asks the node with this number at `addr`, over a new connection, and gives the certificate that it has shown with its answer.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn call_back(
        &self,
        id: NodeId,
        addr: SocketAddr,
        request: &Request,
        within: Duration,
    ) -> Result<(Response, Certificate), CallError> {
        let asked = async {
            let mut connected = self.connect((Some(id), addr)).await?;
            let response = exchange(&mut connected.stream, addr, request).await?;
            Ok((self.check_answer(addr, response)?, connected.certificate))
        };
        timeout(within, asked).await.unwrap_or(Err(CallError::Late { addr, within }))
    }

    /// Who was said to vote.
    pub fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.inner.vouching.vouched.lock().expect("no holder of this lock panics")
    }

    /// Notified whenever somebody was not heard of whom others may know that it votes.
    pub fn doubts(&self) -> &Notify {
        &self.inner.vouching.doubts
    }

    /// Whether `id` votes by the committed membership that this node has applied. Who asks as a stranger has no say in that.
    pub(super) fn is_voter(&self, id: NodeId) -> bool {
        match &self.inner.who {
            Who::Stranger => true,
            Who::Member { directory, .. } => directory.is_voter(id),
        }
    }
}
