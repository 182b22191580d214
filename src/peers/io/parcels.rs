//! Parcels between members (`link::parcel`): over the kept connections, with a deadline of their own.

use super::{call_error::CallError, directory::Directory, pool::Peers};
use crate::{
    link::parcel::{Parcel, Slot},
    model::NodeId,
    peers::question::{Ask, Question, Reply, Topic},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A parcel is taken within this time: a connection that has to be made takes as long as a slow machine's handshake.
const WITHIN: Duration = Duration::from_secs(4);

/// Gossip that is too long for datagrams.
#[derive(Serialize, Deserialize)]
pub struct ParcelBody {
    /// Which start of the sender's agent says it.
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
    /// No answer, or the member did not want it now.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Brings a parcel to its member. It may arrive twice.
///
/// # Errors
/// It is not known to have arrived.
pub async fn send_parcel(peers: &Peers, directory: &Directory, parcel: Parcel) -> Result<(), NotSent> {
    let Parcel { member, session, body } = parcel;
    let addr = directory.address_of(member).ok_or(NotSent::NoMember)?;
    Ok(peers.call(Some(member), addr, &ParcelBody { session, body }, WITHIN).await?)
}

/// The answer to a parcel of `member`: it will be read, or why not.
///
/// # Errors
/// The reply to bytes that are no parcel.
pub fn take_parcel(slot: &Slot, member: NodeId, question: &Question) -> Result<Reply, Reply> {
    let ParcelBody { session, body } = question.read()?;
    let taken = slot.take(Parcel { member, session, body });
    Ok(Reply::of::<ParcelBody>(taken.map_err(|why| why.to_string())))
}
