//! Parcels between members (`link::parcel`): over the kept connections, with a deadline of their own.

use super::{call_error::CallError, directory::Directory, pool::Peers};
use crate::{
    link::parcel::{Parcel, ParcelInbox},
    model::NodeId,
    peers::question::{AnswerFrame, Ask, QuestionFrame, Topic},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A parcel is taken within this time: a connection that has to be made takes as long as a slow machine's handshake.
const WITHIN: Duration = Duration::from_secs(4);

/// Gossip that is too long for datagrams.
#[derive(Serialize, Deserialize)]
pub struct ParcelBody {
    /// The session of the sender's agent.
    pub session: u64,
    /// At most [`MAX_PARCEL_BYTES`](crate::link::parcel::MAX_PARCEL_BYTES).
    pub body: Vec<u8>,
}

impl Ask for ParcelBody {
    const TOPIC: Topic = Topic::Parcel;
    type Answer = ();
}

/// Why a parcel did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// This node does not know the member.
    #[error("no member has that number")]
    NoMember,
    /// The member did not answer, or did not take it now.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Brings a parcel to its member. It may arrive twice.
///
/// # Errors
/// The parcel may not have arrived.
pub async fn send_parcel(peers: &Peers, directory: &Directory, parcel: Parcel) -> Result<(), NotSent> {
    let Parcel { member, session, body } = parcel;
    let addr = directory.address_of(member).ok_or(NotSent::NoMember)?;
    Ok(peers.call(Some(member), addr, &ParcelBody { session, body }, WITHIN).await?)
}

/// Puts a parcel of `member` into the inbox. Gives the answer to it: accepted, or why not.
///
/// # Errors
/// The reply to bytes that are no parcel.
pub fn take_parcel(slot: &ParcelInbox, member: NodeId, question: &QuestionFrame) -> Result<AnswerFrame, AnswerFrame> {
    let ParcelBody { session, body } = question.read()?;
    let taken = slot.take(Parcel { member, session, body });
    Ok(AnswerFrame::of::<ParcelBody>(taken.map_err(|why| why.to_string())))
}
