//! Greetings: connections that are made to be kept, to say hello, or to see the certificate of the node that answers.

use super::{CallError, Peers, PooledConnection, answer_of, exchange};
use crate::{
    link::certificate::Certificate,
    model::NodeId,
    peers::question::{Ask, QuestionFrame},
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, timeout};

/// The purpose of a greeting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GreetingPurpose {
    /// To have a connection ready, so that a vote does not wait for a handshake. One good connection is enough.
    AtHand,
    /// As `Keep`, with a new hello: its answer tells this node if it was removed.
    Anew,
    /// Only to say hello: the connection is closed afterwards. A node has few slots for members that do not vote, and in an outage all of them come.
    Short,
}

impl Peers {
    /// Says hello to the node at `addr`.
    ///
    /// # Errors
    /// As [`Peers::call`].
    pub async fn greet(&self, to: NodeId, addr: SocketAddr, greeting: GreetingPurpose) -> Result<(), CallError> {
        let place = (Some(to), addr);
        let has_good = |kept: &Vec<PooledConnection>| kept.iter().any(PooledConnection::is_good);
        if greeting == GreetingPurpose::AtHand && self.idle().get(&place).is_some_and(has_good) {
            return Ok(());
        }
        let connected = self.connect_apart(place).await?;
        // The new connection replaces the former ones: members have few slots at each other.
        let kept = PooledConnection { stream: connected.stream, since: Instant::now() };
        match greeting {
            GreetingPurpose::AtHand | GreetingPurpose::Anew => drop(self.idle().insert(place, vec![kept])),
            GreetingPurpose::Short => {}
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
        let question = QuestionFrame::of(asked).map_err(|source| CallError::TooLong { addr, source })?;
        let exchanged = async {
            let mut connected = self.connect((Some(id), addr)).await?;
            let reply = self.check_reply(addr, exchange(&mut connected.stream, addr, &question).await?)?;
            Ok((reply, connected.certificate))
        };
        let (reply, certificate) = timeout(within, exchanged).await.unwrap_or(Err(CallError::Late { addr, within }))?;
        Ok((answer_of::<Q>(addr, reply)?, certificate))
    }
}
