//! The members' TLS connections, as far as gossip knows them: parcels between the nodes of this process.

use super::*;
use crate::link::parcel::{Parcel, Slot};

static SLOTS: Mutex<BTreeMap<SocketAddr, Slot>> = Mutex::new(BTreeMap::new());

/// The mailbox of the node that listens there, in a cluster of these.
pub fn mailbox(GossipSettings { id, listen, .. }: &GossipSettings, speakers: &Speakers) -> Mailbox {
    let slot = Slot::default();
    let (mailbox, mut sent) = Mailbox::new(&slot);
    SLOTS.lock().unwrap().insert(*listen, slot);
    let (me, members) = (*id, speakers.members.clone());
    tokio::spawn(async move {
        while let Some(parcel) = sent.recv().await {
            let to = members.get(&parcel.member).and_then(|(addr, _)| SLOTS.lock().unwrap().get(addr).cloned());
            let _ = to.map(|slot| slot.take(Parcel { member: me, ..parcel }));
        }
    });
    mailbox
}
