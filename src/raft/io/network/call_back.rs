//! Connections that are made for their own sake: to say hello, and to ask who votes; and what such answers came to.

use super::{CallError, Kept, Peers, Who, exchange};
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
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// Who was said to vote, and that it should be asked who does.
#[derive(Default)]
pub(super) struct Vouching {
    vouched: Mutex<Vouched>,
    doubts: Notify,
}

/// What a greeting is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// A connection at hand, so that a vote does not wait for a handshake. One that is good is enough.
    AtHand,
    /// The same, and saying hello anew, which is enough to hear that this node was removed.
    Anew,
    /// Only to say hello: the connection is closed then. A node has few places for members that do not vote, and in an outage all come.
    Short,
}

impl Peers {
    /// Says hello to the node at `addr`.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn greet(&self, to: NodeId, addr: SocketAddr, greeting: Greeting) -> Result<(), CallError> {
        let place = (Some(to), addr);
        let has_good = |kept: &Vec<Kept>| kept.iter().any(Kept::is_good);
        if greeting == Greeting::AtHand && self.idle().get(&place).is_some_and(has_good) {
            return Ok(());
        }
        let connected = self.connect_apart(place).await?;
        // In the place of the former ones: members have few places for each other.
        let kept = Kept { stream: connected.stream, since: Instant::now() };
        match greeting {
            Greeting::AtHand | Greeting::Anew => drop(self.idle().insert(place, vec![kept])),
            Greeting::Short => {}
        }
        Ok(())
    }

    /// Connections to `to` that are kept.
    #[cfg(test)]
    pub fn kept(&self, to: NodeId, addr: SocketAddr) -> usize {
        self.idle().get(&(Some(to), addr)).map_or(0, Vec::len)
    }

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
