//! Parcels: messages between two members that are too long for datagrams. Gossip gives them to the task that has the members' TLS connections.
//!
//! Delivery is not guaranteed: a parcel that finds no room, or takes too long, is lost, and its sender repeats it when it wants to.

use crate::model::NodeId;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock},
};
use tokio::sync::mpsc;

/// Longest content: chitchat's longest message is of 65,510 bytes.
pub const MAX_PARCEL_BYTES: usize = 65_535;
/// Parcels that wait to be sent, or to be read: members beyond these are served next time. 4 MiB.
const WAITING: usize = 64;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parcel {
    /// The member that it is for; on the receiving side, the member that it is from, as TLS has proved.
    pub member: NodeId,
    /// The session of the sender's agent.
    pub session: u64,
    /// Its content.
    pub body: Vec<u8>,
}

/// Both ends of the parcel queues, as gossip has them.
#[derive(Debug)]
pub struct Mailbox {
    /// The parcels to send.
    pub out: mpsc::Sender<Parcel>,
    /// The parcels that have come.
    pub inbox: mpsc::Receiver<Delivery>,
}

impl Mailbox {
    /// A mailbox, what comes out of it, and the slot that fills it.
    pub fn new(slot: &ParcelInbox) -> (Self, mpsc::Receiver<Parcel>) {
        let (out, sent) = mpsc::channel(WAITING);
        let (letters, inbox) = mpsc::channel(WAITING);
        // A second mailbox at the same slot would get nothing.
        let _ = slot.inner.letters.set(letters);
        (Self { out, inbox }, sent)
    }
}

/// A parcel that has come. As long as it is not read, its member can send no other, so no member can fill the inbox.
#[derive(Debug)]
pub struct Delivery {
    /// It.
    pub parcel: Parcel,
    _turn: InboxTurn,
}

/// The inbox for parcels. Clones are the same inbox.
#[derive(Clone, Debug, Default)]
pub struct ParcelInbox {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    letters: OnceLock<mpsc::Sender<Delivery>>,
    waiting: Mutex<BTreeSet<NodeId>>,
}

/// Why a parcel is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotTaken {
    /// The parcel is longer than an honest agent sends.
    #[error("a parcel of {0} bytes is too long (at most {MAX_PARCEL_BYTES})")]
    TooLong(usize),
    /// That member's last one is not read yet, or there is no room.
    #[error("there is no room for a parcel now")]
    Busy,
    /// No task reads the inbox yet, or any more.
    #[error("no task reads parcels here now")]
    Nobody,
}

impl ParcelInbox {
    /// Puts a parcel into the inbox, or refuses it at once.
    ///
    /// # Errors
    /// Why not.
    pub fn take(&self, parcel: Parcel) -> Result<(), NotTaken> {
        if parcel.body.len() > MAX_PARCEL_BYTES {
            return Err(NotTaken::TooLong(parcel.body.len()));
        }
        let letters = self.inner.letters.get().ok_or(NotTaken::Nobody)?;
        let turn = InboxTurn::take(&self.inner, parcel.member).ok_or(NotTaken::Busy)?;
        letters.try_send(Delivery { parcel, _turn: turn }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotTaken::Busy,
            mpsc::error::TrySendError::Closed(_) => NotTaken::Nobody,
        })
    }
}

#[derive(Debug)]
struct InboxTurn {
    slot: Arc<Inner>,
    member: NodeId,
}

impl InboxTurn {
    fn take(slot: &Arc<Inner>, member: NodeId) -> Option<Self> {
        let mut waiting = slot.waiting.lock().expect("no holder of this lock panics");
        waiting.insert(member).then(|| Self { slot: slot.clone(), member })
    }
}

impl Drop for InboxTurn {
    fn drop(&mut self) {
        self.slot.waiting.lock().expect("no holder of this lock panics").remove(&self.member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(member: u64) -> Parcel {
        Parcel { member: NodeId(member), session: 1, body: vec![7] }
    }

    #[tokio::test]
    async fn a_member_has_one_parcel_waiting_and_all_together_have_as_many_as_there_is_room_for() {
        let slot = ParcelInbox::default();
        assert_eq!(slot.take(from(1)), Err(NotTaken::Nobody));
        let (mut mailbox, _sent) = Mailbox::new(&slot);
        assert_eq!(slot.take(from(1)), Ok(()));
        assert_eq!(slot.take(from(1)), Err(NotTaken::Busy));
        let others = (2..).take_while(|member| slot.take(from(*member)).is_ok()).count();
        assert_eq!(others, WAITING - 1);
        let delivery = mailbox.inbox.recv().await.unwrap();
        assert_eq!(slot.take(from(1)), Err(NotTaken::Busy), "it is being read");
        drop(delivery);
        assert_eq!(slot.take(from(1)), Ok(()));
        drop(mailbox);
        assert_eq!(slot.take(from(999)), Err(NotTaken::Nobody));
        let long = Parcel { body: vec![0; MAX_PARCEL_BYTES + 1], ..from(1) };
        assert_eq!(slot.take(long), Err(NotTaken::TooLong(MAX_PARCEL_BYTES + 1)));
    }
}
