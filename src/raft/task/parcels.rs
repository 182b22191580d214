//! Parcels between members (`link::parcel`): over the connections that Raft keeps, with a deadline of their own.

use super::RaftNode;
use crate::{
    link::parcel::{Parcel, Slot},
    raft::{
        io::network::CallError,
        message::{Request, Response},
    },
};
use std::time::Duration;

/// A parcel is taken within this time: a connection that has to be made takes as long as a slow machine's handshake.
const WITHIN: Duration = Duration::from_secs(4);

/// Why a parcel did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// This node does not know the member.
    #[error("no member has that number")]
    NoMember,
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The member did not want it now.
    #[error("the other side says: {0}")]
    Refused(String),
}

impl RaftNode {
    /// Where parcels of other members come in.
    pub fn parcels(&self) -> &Slot {
        &self.inner.parcels
    }

    /// Brings a parcel to its member. It may arrive twice.
    ///
    /// # Errors
    /// It is not known to have arrived.
    pub async fn send_parcel(&self, parcel: Parcel) -> Result<(), NotSent> {
        let Parcel { member, session, body } = parcel;
        let addr = self.directory().address_of(member).ok_or(NotSent::NoMember)?;
        match self.peers().call(Some(member), addr, &Request::Parcel { session, body }, WITHIN).await? {
            Response::Taken => Ok(()),
            Response::Failed(why) => Err(NotSent::Refused(why)),
            _ => Err(NotSent::Refused("an answer to something else".to_owned())),
        }
    }
}
