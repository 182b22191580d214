//! Connections that are made for their own sake: to say hello, or to see the certificate of the one that answers.

use super::{CallError, Kept, Peers, answer_of, exchange};
use crate::{
    link::certificate::Certificate,
    model::NodeId,
    peers::question::{Ask, Question},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, timeout};

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
    pub async fn call_back<Q: Ask>(
        &self,
        id: NodeId,
        addr: SocketAddr,
        asked: &Q,
        within: Duration,
    ) -> Result<(Q::Answer, Certificate), CallError> {
        let question = Question::of(asked).map_err(|source| CallError::TooLong { addr, source })?;
        let exchanged = async {
            let mut connected = self.connect((Some(id), addr)).await?;
            let reply = self.check_reply(addr, exchange(&mut connected.stream, addr, &question).await?)?;
            Ok((reply, connected.certificate))
        };
        let (reply, certificate) = timeout(within, exchanged).await.unwrap_or(Err(CallError::Late { addr, within }))?;
        Ok((answer_of::<Q>(addr, reply)?, certificate))
    }
}
