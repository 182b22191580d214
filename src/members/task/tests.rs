//! Whole clusters in one process, over loopback sockets and real files.

mod admission;
mod changes;
mod disk;
mod foreign;
mod members;
mod strangers;
mod takeover;
mod trust;
mod voters;

use super::*;
use crate::{link::tls::Credentials, model::NodeName, raft::MembershipObserver};
use crate::{
    link::{
        io::files::{self, RAFT_LOG as FILE},
        tls::{Presented, Trust},
        token::JoinToken,
    },
    members::{InitSettings, JoinError, JoinRefusal, JoinSettings, init, join},
    model::{NodeId, Role, Roles, TimingProfile},
    peers::{Peers, Published},
    raft::{MembershipObserverError, ProposeError, RaftFault, RaftStartError, Scratch, StoreError, types::TypeConfig},
    rules::{Command, CommandRefusal, RuleSet},
    vip::LeaseMembership,
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};
use std::{collections::BTreeSet, net::SocketAddr};
use tokio::time::{sleep, timeout};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Far longer than anything takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn roles() -> Roles {
    Roles::new([Role::Director]).unwrap()
}

/// An address of this test alone: all of 127/8 is loopback.
fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)], 7946))
}

/// Notes when it was told what.
#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<(tokio::time::Instant, LeaseMembership)>>);

#[async_trait::async_trait]
impl MembershipObserver for Notes {
    async fn effective(&self, membership: LeaseMembership) -> Result<(), MembershipObserverError> {
        self.0.lock().unwrap().push((tokio::time::Instant::now(), membership));
        Ok(())
    }
}

struct Member {
    name: NodeName,
    addr: SocketAddr,
    dir: Scratch,
    notes: Arc<Notes>,
    node: Option<ClusterMember>,
    /// What it speaks with while it runs.
    speaks: Option<Credentials>,
    /// What it presents and trusts where certificates come from somebody else's CA.
    external: Option<Credentials>,
}

impl Member {
    fn new(name: &str) -> Self {
        let name = name.parse().unwrap();
        Self { name, addr: address(), dir: Scratch::new(), notes: Arc::default(), node: None, speaks: None, external: None }
    }

    fn settings(&self, token: Option<&JoinToken>) -> JoinSettings {
        JoinSettings {
            data_dir: self.dir.path().to_owned(),
            name: self.name.clone(),
            roles: roles(),
            addr: self.addr,
            zone: None,
            version: "0.1.0".to_owned(),
            timing: None,
            token: token.cloned(),
            external: self.external.clone(),
        }
    }

    fn founding(&self) -> InitSettings {
        InitSettings {
            data_dir: self.dir.path().to_owned(),
            name: self.name.clone(),
            roles: roles(),
            addr: self.addr,
            zone: None,
            timing: TimingProfile::Lan,
            external: self.external.is_some(),
        }
    }

    /// As the agent reads them.
    fn credentials(&self) -> Credentials {
        if let Some(external) = &self.external {
            return external.clone();
        }
        let dir = self.dir.path();
        let key = Zeroizing::new(files::node_key(dir).unwrap().pkcs8().to_vec());
        let presented = files::certificate(dir).unwrap().map(|chain| Presented { chain, key });
        Credentials::new(presented, Trust::Authorities(files::trusted(dir).unwrap())).unwrap()
    }

    async fn try_start(&mut self, live: &watch::Sender<BTreeSet<NodeName>>) -> Result<(), MemberStartError> {
        let identity = NodeIdentity::load(self.dir.path()).unwrap().unwrap();
        let credentials = self.credentials();
        self.speaks = Some(credentials.clone());
        let settings = MemberSettings { data_dir: self.dir.path().to_owned(), identity, addr: self.addr, credentials };
        self.node = Some(ClusterMember::start(settings, self.notes.clone(), live.subscribe(), CancellationToken::new()).await?);
        live.send_modify(|live| {
            live.insert(self.name.clone());
        });
        Ok(())
    }

    fn node(&self) -> &RaftNode {
        self.member().raft()
    }

    fn member(&self) -> &ClusterMember {
        self.node.as_ref().expect("it runs")
    }

    async fn stop(&mut self) {
        self.node.take().expect("it runs").raft().shutdown().await;
    }

    /// As a process that is killed: nobody is told, nothing handed over.
    async fn crash(&mut self) {
        self.node.take().expect("it runs").raft().crash().await;
    }
}

struct Cluster {
    members: Vec<Member>,
    /// What its founding gave: for all roles and many nodes.
    token: JoinToken,
    live: watch::Sender<BTreeSet<NodeName>>,
}

impl Cluster {
    /// A founder called `n1`, and `count - 1` that joined.
    async fn of(count: usize) -> Self {
        let mut founder = Member::new("n1");
        let live = watch::channel(BTreeSet::new()).0;
        let (token, _) = init(founder.founding()).await.unwrap().token.unwrap();
        founder.try_start(&live).await.unwrap();
        let mut cluster = Self { members: vec![founder], token, live };
        for n in 2..=count {
            let mut member = Member::new(&format!("n{n}"));
            cluster.join(&member).await.unwrap();
            member.try_start(&cluster.live).await.unwrap();
            cluster.members.push(member);
        }
        cluster
    }

    /// Every running member is a seed.
    async fn join(&self, member: &Member) -> Result<NodeIdentity, JoinError> {
        self.join_with(member.settings(Some(&self.token))).await
    }

    async fn join_with(&self, settings: JoinSettings) -> Result<NodeIdentity, JoinError> {
        join(&self.seeds(), settings).await
    }

    fn seeds(&self) -> Vec<SocketAddr> {
        self.running().map(|member| member.addr).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.node.is_some())
    }

    /// Waits until every running member sees these voters and a quorum.
    async fn votes(&self, ids: &[u64]) {
        let ids: BTreeSet<NodeId> = ids.iter().copied().map(NodeId).collect();
        for member in self.running() {
            let mut view = member.node().view();
            let seen = timeout(PATIENCE, view.wait_for(|view| view.voters == ids && view.quorum)).await;
            if seen.is_err() {
                panic!("{}: not {ids:?} but {:?}", member.name, member.node().view().borrow().clone());
            }
        }
    }

    /// Waits until every running member has this revision of the rules.
    async fn has_revision(&self, revision: u64) {
        for member in self.running() {
            let mut state = member.node().state();
            timeout(PATIENCE, state.wait_for(|state| state.revision == revision)).await.unwrap().unwrap();
        }
    }

    /// Long after a node went silent, no member takes it for a living one.
    async fn is_silent(&self, name: &NodeName) {
        self.live.send_modify(|live| {
            live.remove(name);
        });
        for member in self.running() {
            *member.member().recent_admissions().lock().await = RecentAdmissions::default();
        }
    }

    /// Who leads. On a busy machine an election may be under way.
    async fn leader(&self) -> usize {
        let leads = |member: &Member| member.node.as_ref().is_some_and(|node| node.raft().is_leader_with_quorum());
        let found = async {
            loop {
                match self.members.iter().position(leads) {
                    Some(leader) => break leader,
                    None => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(PATIENCE, found).await.expect("somebody leads")
    }

    async fn follower(&self) -> &Member {
        let leader = self.leader().await;
        self.members.iter().enumerate().find(|(n, member)| *n != leader && member.node.is_some()).expect("one follows").1
    }

    async fn stop(mut self) {
        for member in &mut self.members {
            if member.node.is_some() {
                member.stop().await;
            }
        }
    }
}

/// Rules that differ with `n`.
fn rules(n: u8) -> RuleSet {
    let name: crate::model::VipName = format!("vip-{n}").parse().unwrap();
    let group = crate::model::VipGroup {
        name: name.clone(),
        addresses: BTreeSet::from([std::net::IpAddr::from([10, 9, 9, n])]),
        interface: "eth0".to_owned(),
        on_quorum_loss: crate::model::OnQuorumLoss::default(),
    };
    RuleSet { vips: BTreeMap::from([(name, group)]), ..RuleSet::default() }
}

fn apply(base: u64, n: u8) -> Command {
    Command::Apply { base_revision: Some(base), rules: rules(n) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_decides_and_goes_on_without_its_leader() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.follower().await.node().propose(apply(0, 1), PATIENCE).await.unwrap();
    cluster.has_revision(1).await;
    let stale = cluster.follower().await.node().propose(apply(0, 2), PATIENCE).await.unwrap_err();
    assert!(matches!(stale, ProposeError::Refused(CommandRefusal::Stale { base: 0, current: 1 })), "{stale}");

    let leader = cluster.leader().await;
    cluster.members[leader].crash().await;
    let survivor = cluster.running().next().unwrap().node().clone();
    survivor.propose(apply(1, 2), PATIENCE).await.unwrap();
    cluster.has_revision(2).await;

    // It comes back and has everything.
    let live = cluster.live.clone();
    cluster.members[leader].try_start(&live).await.unwrap();
    cluster.has_revision(2).await;
    cluster.votes(&[1, 2, 3]).await;

    // A leader that stops in order hands over: somebody leads at once, not after an election timeout.
    let leader = cluster.leader().await;
    let term = cluster.members[leader].node().view().borrow().term;
    cluster.members[leader].stop().await;
    let views: Vec<_> = cluster.running().map(|member| member.node().view().borrow().clone()).collect();
    assert!(views.iter().any(|view| view.term > term && view.leader.is_some()), "{views:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_says_that_it_has_no_quorum_and_takes_nothing() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let leader = cluster.leader().await;
    for n in (0..3).filter(|n| *n != leader) {
        cluster.members[n].crash().await;
    }
    let node = cluster.members[leader].node().clone();
    let mut view = node.view();
    timeout(PATIENCE, view.wait_for(|view| !view.quorum)).await.unwrap().unwrap();
    assert!(!node.is_leader_with_quorum());
    let error = node.propose(apply(0, 1), Duration::from_millis(500)).await.unwrap_err();
    assert!(matches!(error, ProposeError::NoLeader { .. } | ProposeError::Unknown { .. }), "{error}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_stopped_at_once_come_back_from_disk_with_their_rules() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[1].node().propose(apply(0, 7), PATIENCE).await.unwrap();
    cluster.has_revision(1).await;
    for member in &mut cluster.members {
        member.crash().await;
    }
    // One alone has the rules again before it hears of any leader.
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    assert_eq!(cluster.members[2].node().state().borrow().rules, rules(7));
    let mut view = cluster.members[2].node().view();
    assert!(timeout(PATIENCE, view.wait_for(|view| view.loaded)).await.is_ok());
    assert!(!view.borrow().quorum);
    for n in [0, 1] {
        cluster.members[n].try_start(&live).await.unwrap();
    }
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[0].node().propose(apply(1, 8), PATIENCE).await.unwrap();
    cluster.has_revision(2).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_is_brought_up_by_a_snapshot() {
    let mut cluster = Cluster::of(3).await;
    cluster.votes(&[1, 2, 3]).await;
    let has = cluster.members[2].node().view().borrow().applied;
    cluster.members[2].crash().await;
    let leader = cluster.running().next().unwrap().node().clone();
    for n in 0..700_u64 {
        leader.propose(apply(n, if n % 2 == 0 { 1 } else { 2 }), PATIENCE).await.unwrap();
    }
    // Nobody has the entries any more that it lacks: only a snapshot can help it.
    for member in cluster.running() {
        let purged = |metrics: &openraft::RaftMetrics<TypeConfig>| metrics.purged.is_some_and(|id| id.index > has);
        member.node().openraft().wait(Some(PATIENCE)).metrics(purged, "entries are purged").await.unwrap();
    }
    let live = cluster.live.clone();
    cluster.members[2].try_start(&live).await.unwrap();
    cluster.has_revision(700).await;
    cluster.votes(&[1, 2, 3]).await;
    cluster.members[2].crash().await;
    cluster.members[2].try_start(&live).await.unwrap();
    assert_eq!(cluster.members[2].node().state().borrow().revision, 700);
    cluster.stop().await;
}
