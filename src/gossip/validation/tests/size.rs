//! The largest cluster there may be, each member just started again, and a chitchat that has heard of all of it.

use super::super::*;
use crate::{
    gossip::wire::craft::{ack, digest, node, set, syn, syn_ack},
    model::PublicKey,
};
use chitchat::{
    ChitchatConfig, FailureDetectorConfig, Serializable, spawn_chitchat,
    transport::{Socket, Transport},
};
use std::sync::Mutex;
use tokio::sync::mpsc;

/// chitchat's `MAX_UDP_DATAGRAM_PAYLOAD_SIZE`, with the three bytes before a message's kind, which it does not count.
const LONGEST: usize = 65_507 + 3;

type Heard = (SocketAddr, ChitchatMessage);
type Ends = (mpsc::Receiver<Heard>, mpsc::Sender<Vec<u8>>);

/// A transport whose other end is the test.
struct Wire(Mutex<Option<Ends>>);

struct End(mpsc::Receiver<Heard>, mpsc::Sender<Vec<u8>>);

#[async_trait::async_trait]
impl Transport for Wire {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let (heard, said) = self.0.lock().unwrap().take().unwrap();
        Ok(Box::new(End(heard, said)))
    }
}

#[async_trait::async_trait]
impl Socket for End {
    async fn send(&mut self, _: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        message.serialize(&mut bytes);
        Ok(self.1.send(bytes).await?)
    }

    async fn recv(&mut self) -> anyhow::Result<Heard> {
        self.0.recv().await.ok_or_else(|| anyhow::anyhow!("nobody speaks any more"))
    }
}

/// With an IPv6 address and a name that is as long as names may be.
fn id(number: usize, start: u64) -> ChitchatId {
    let addr = SocketAddr::from((std::net::Ipv6Addr::from(0xfd00 << 112 | number as u128), 7400));
    ChitchatId::new(format!("n{number:0>62}"), start, addr)
}

fn config(me: &ChitchatId) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: me.clone(),
        cluster_id: "0123456789abcdef".to_owned(),
        gossip_interval: Duration::from_secs(3600),
        listen_addr: me.gossip_advertise_addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::default(),
        marked_for_deletion_grace_period: Duration::from_secs(3600),
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

#[tokio::test]
async fn the_largest_clusters_digest_leaves_room_in_every_message_and_more_than_that_is_not_heard_of() {
    let now = BootInstant::from_boot(Duration::from_secs(9));
    let voice = |number: usize, session| Voice { node: NodeId(number as u64), session, now };
    let me = id(0, 1);
    let mut validation = Validation::new(me.clone(), "0123456789abcdef".to_owned(), Duration::from_secs(300));
    let mut speakers = PeerKeys::default();
    for number in 0..MAX_MEMBERS {
        speakers.members.insert(NodeId(number as u64), (id(number, 1).gossip_advertise_addr, PublicKey([1; 32])));
        speakers.names.insert(id(number, 1).node_id.parse().unwrap(), NodeId(number as u64));
    }
    validation.update(&speakers);
    validation.own_numbers(1 << 20, 1);
    let (ear, heard) = mpsc::channel(1);
    let (said, mut mouth) = mpsc::channel(64);
    let word = (0..40).map(|key| (format!("obs/web/r{key}"), "x".repeat(1500))).collect();
    let victim = spawn_chitchat(config(&me), word, &Wire(Mutex::new(Some((heard, said))))).await.unwrap();

    // One of them speaks of all, then each of its own next start.
    let first: Vec<ChitchatId> = (1..MAX_MEMBERS).map(|number| id(number, 1)).collect();
    let asked = syn("0123456789abcdef", &digest(&first.iter().map(|id| (id, 5, 0, 0)).collect::<Vec<_>>()));
    let mut bodies = vec![(voice(1, 1), asked)];
    bodies.extend(
        (1..MAX_MEMBERS).map(|number| (voice(number, 2), syn("0123456789abcdef", &digest(&[(&id(number, 2), 5, 0, 0)])))),
    );
    let longest_of = |bytes: &[u8]| assert!(bytes.len() <= LONGEST, "{} bytes", bytes.len());
    let mut last = Vec::new();
    for (by, body) in bodies {
        let heard = validation.hear(by, &body).unwrap();
        assert!(heard.doubts.is_empty(), "{:?} of {by:?}", heard.doubts);
        ear.send((id(1, 1).gossip_advertise_addr, heard.message)).await.unwrap();
        // Its own first round falls between two of these, and is no answer.
        while let Some(bytes) = mouth.recv().await {
            longest_of(&bytes);
            let answers = Message::read(&bytes).unwrap().cluster_id.is_none();
            last = bytes;
            if answers {
                break;
            }
        }
    }
    let known = Message::read(&last).unwrap().digest.len();
    assert_eq!(known, (MAX_MEMBERS - 1) * 2 + 1);
    // It can still ask, be answered and answer: with everything it has, and with nothing.
    victim.gossip(id(1, 1).gossip_advertise_addr).unwrap();
    longest_of(&mouth.recv().await.unwrap());
    for said_of_me in [0, 40] {
        let answer = syn_ack(&digest(&[(&me, 1, 0, said_of_me)]), &[]);
        let heard = validation.hear(voice(1, 2), &answer).unwrap();
        ear.send((id(1, 1).gossip_advertise_addr, heard.message)).await.unwrap();
        longest_of(&mouth.recv().await.unwrap());
    }
    let changes = ack(&[node(&id(1, 2), 0, 0), set("rev", "7", 1)]);
    let heard = validation.hear(voice(1, 2), &changes).unwrap();
    ear.send((id(1, 1).gossip_advertise_addr, heard.message)).await.unwrap();

    // There is no room for third starts, nor for new members in the place of those that have just gone; later there is.
    let third = |validation: &mut Validation, number, start, now| {
        let body = syn("0123456789abcdef", &digest(&[(&id(number, start), 5, 0, 0)]));
        validation.hear(Voice { now, ..voice(number, start) }, &body).unwrap().doubts
    };
    assert_eq!(third(&mut validation, 1, 3, now), [Refusal::Crowd].into());
    speakers.names.retain(|_, id| [0, 2].contains(&id.0));
    speakers.members.retain(|id, _| [0, 2].contains(&id.0));
    validation.update(&speakers);
    let let_in = (3..50).take_while(|start| third(&mut validation, 2, *start, now).is_empty()).count();
    assert_eq!(let_in, 1);
    let later = now + Duration::from_secs(301);
    assert_eq!(third(&mut validation, 2, 60, later), BTreeSet::new());
    victim.shutdown().await.expect("it did not panic");
}
