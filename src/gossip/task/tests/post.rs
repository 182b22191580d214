//! Long words: parcels over the members' TLS connections, as far as gossip knows them, and messages of several datagrams.

use super::*;
use crate::link::parcel::{Parcel, ParcelInbox};

static SLOTS: Mutex<BTreeMap<SocketAddr, ParcelInbox>> = Mutex::new(BTreeMap::new());

/// The mailbox of the node that listens there, in a cluster of these.
pub fn mailbox(GossipSettings { id, listen, .. }: &GossipSettings, speakers: &PeerKeys) -> Mailbox {
    let slot = ParcelInbox::default();
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

/// Until the last of its datagrams has come, the word before stands.
#[tokio::test]
async fn a_word_of_several_datagrams_arrives_whole() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    const TARGETS: usize = 1000;
    let addrs = [free_addr(), free_addr()];
    let members = [("a", addrs[0]), ("b", addrs[1])];
    let start =
        |(name, addr): (&str, SocketAddr)| Node::start(settings(name, "blue", addr, 1, INTERVAL), &addrs, speakers(&members));
    let (a, mut b) = (start(members[0]), start(members[1]));
    b.sees("a", live("a b")).await;
    let mut random = StdRng::seed_from_u64(7);
    for round in [2, 3] {
        a.say(|word| {
            for server in 0..TARGETS {
                // As hard to compress as text can be.
                let reason: String = (0..100).map(|_| char::from(random.random_range(b' '..=b'~'))).collect();
                word.observations.insert(target(&format!("r{server}")), Observation { reason, ..seen(Finding::Down, round) });
            }
            word.revision = round;
        });
        b.sees("all of it", |view| revision(view, "a") == Some(round)).await;
        let all = b.view.borrow().nodes[&"a".parse::<NodeName>().unwrap()].observations.clone();
        assert_eq!(all.values().filter(|seen| seen.since_unix_ms == round).count(), TARGETS);
    }
}
