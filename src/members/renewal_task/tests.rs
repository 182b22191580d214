//! The renewal of certificates with a real Raft and a real disk: what fails keeps nothing else from being done.

use super::*;
use crate::{
    members::{InitSettings, MemberSettings, NodeIdentity, init},
    model::{Fingerprint, Role, TimingProfile},
    raft::{MembershipObserver, MembershipObserverError, Scratch},
    rules::{Command, SecurityChange},
    vip::LeaseMembership,
};
use std::{collections::BTreeSet, net::SocketAddr};
use tokio::time::timeout;

/// Far longer than anything takes; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

struct NoGuard;

#[async_trait::async_trait]
impl MembershipObserver for NoGuard {
    async fn effective(&self, _: LeaseMembership) -> Result<(), MembershipObserverError> {
        Ok(())
    }
}

/// A cluster of one director, with its renewal.
struct Director {
    dir: Scratch,
    config: Arc<AgentConfig>,
    member: ClusterMember,
    holds: watch::Receiver<KeyInventory>,
    troubles: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
}

impl Director {
    /// `before`: what happens to its disk before the renewal runs.
    async fn start(before: impl FnOnce(&std::path::Path)) -> Self {
        let dir = Scratch::new();
        let free = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let config = config(dir.path(), free, "");
        let settings = InitSettings {
            data_dir: dir.path().to_owned(),
            name: config.node.clone(),
            roles: config.roles.clone(),
            addr: free,
            zone: None,
            timing: TimingProfile::Lan,
            external: false,
        };
        init(settings).await.unwrap();
        before(dir.path());
        let credentials = load(&config).unwrap();
        let identity = NodeIdentity::load(dir.path()).unwrap().unwrap();
        let settings = MemberSettings { data_dir: dir.path().to_owned(), identity, addr: free, credentials: credentials.clone() };
        let live = watch::channel(BTreeSet::new()).1;
        let member = ClusterMember::start(settings, Arc::new(NoGuard), live, CancellationToken::new()).await.unwrap();
        let (holds_in, holds) = watch::channel(KeyInventory::default());
        let (troubles_in, troubles) = watch::channel(Vec::new());
        let renewal = Renewal {
            config: config.clone(),
            member: member.clone(),
            credentials,
            holds: holds_in,
            troubles: troubles_in,
            key_files: Arc::default(),
            look_now: Arc::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(renewal.run(stop.clone()));
        Self { dir, config, member, holds, troubles, stop }
    }

    async fn commit(&self, change: SecurityChange) {
        self.member.raft().propose(Command::Security(change), PATIENCE).await.unwrap();
    }

    async fn says(&mut self, what: impl FnMut(&KeyInventory) -> bool) -> KeyInventory {
        let said = timeout(PATIENCE, self.holds.wait_for(what)).await.map(|said| said.unwrap().clone());
        said.unwrap_or_else(|_| panic!("{:?} {:?}", self.holds.borrow(), self.troubles.borrow()))
    }
}

fn config(dir: &std::path::Path, addr: SocketAddr, more: &str) -> Arc<AgentConfig> {
    let text = format!("node = \"d1\"\nroles = [\"director\"]\naddress = \"{addr}\"\ndata_dir = \"{}\"\n{more}", dir.display());
    Arc::new(AgentConfig::parse("agent.toml", &text, "d1").unwrap())
}

fn ca_key(dir: &std::path::Path) -> std::path::PathBuf {
    let found = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    found.into_iter().find(|path| path.to_string_lossy().contains("/ca-")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_director_whose_ca_key_is_damaged_follows_the_rotation_that_mends_it() {
    let mut director = Director::start(|dir| std::fs::write(ca_key(dir), "rubbish").unwrap()).await;
    let said = director.says(|holds| holds.issuer.is_some()).await;
    let old = said.issuer.unwrap();
    assert_eq!((said.authorities, said.signs, said.keys.len()), ([old].into(), BTreeSet::new(), 1));
    let mut troubles = director.troubles.clone();
    let lasting = timeout(PATIENCE, troubles.wait_for(|troubles| !troubles.is_empty())).await.unwrap().unwrap().clone();
    assert!(lasting[0].contains("lvs-agent ca rotate"), "{lasting:?}");

    let new = Authority::make(director.member.raft().cluster_id(), BootClock.unix_now());
    files::save_authority(director.dir.path(), &new).unwrap();
    let fingerprint: Fingerprint = new.fingerprint();
    director.commit(SecurityChange::AuthorityAdded { fingerprint, der: new.certificate().to_vec() }).await;
    let said = director.says(|holds| holds.authorities.len() == 2).await;
    assert_eq!((said.issuer, said.signs), (Some(old), [fingerprint].into()), "it can sign with the new one");
    director.commit(SecurityChange::AuthorityPromoted(fingerprint)).await;
    director.says(|holds| holds.issuer == Some(fingerprint)).await;
    director.commit(SecurityChange::AuthorityDropped(old)).await;
    director.says(|holds| holds.authorities == [fingerprint].into()).await;
    timeout(PATIENCE, troubles.wait_for(Vec::is_empty)).await.unwrap().unwrap();
    assert!(ca_key(director.dir.path()).to_string_lossy().contains(&fingerprint.to_string()), "the damaged one is gone");
    director.stop.cancel();
    director.member.raft().shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_was_taken_on_stays_trusted_until_the_state_knows_it() {
    let new = Authority::make("c", BootClock.unix_now());
    let mut director = Director::start(|dir| {
        let (key, mut trusted) = (files::node_key(dir).unwrap(), files::trusted(dir).unwrap());
        let (name, roles) = ("d1".parse().unwrap(), Roles::new([Role::Director]).unwrap());
        let cluster_id = NodeIdentity::load(dir).unwrap().unwrap().cluster_id;
        let subject = authority::NodeSubject { cluster_id: &cluster_id, name: &name, id: crate::model::NodeId(1), roles: &roles };
        let leaf = new.sign_node(&authority::request(&key), &subject, BootClock.unix_now()).unwrap();
        files::save_ahead(dir, &[new.certificate().to_vec()]).unwrap();
        files::save_certificate(dir, &[leaf.der, new.certificate().to_vec()]).unwrap();
        trusted.truncate(1);
        files::save_trusted(dir, &trusted).unwrap();
    })
    .await;
    let fingerprint = new.fingerprint();
    let said = director.says(|holds| holds.authorities.contains(&fingerprint)).await;
    assert_eq!(
        (said.issuer, said.authorities.len()),
        (Some(fingerprint), 2),
        "its own ca's key does not tempt it to sign for itself"
    );
    assert_eq!(files::trusted(&director.config.data_dir).unwrap().len(), 2);
    director.commit(SecurityChange::AuthorityAdded { fingerprint, der: new.certificate().to_vec() }).await;
    let dir = director.dir.path().to_owned();
    let caught_up = async {
        while !files::ahead(&dir).unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, caught_up).await.unwrap();
    director.stop.cancel();
    director.member.raft().shutdown().await;
}

#[test]
fn files_of_tls_that_are_another_nodes_or_another_cas_are_named_with_what_they_say() {
    let dir = Scratch::new();
    let file = |name: &str, label: &str, der: &[u8]| {
        let text = files::pem::encode(label, &[der]);
        std::fs::write(dir.path().join(name), &*text).unwrap();
    };
    let key = crate::link::node_key::NodeKey::generate();
    let (ours, theirs) = (Authority::make("c", BootClock.unix_now()), Authority::make("c", BootClock.unix_now()));
    let put = |ca: &Authority, name: &str| {
        let (name, roles) = (name.parse().unwrap(), Roles::new([Role::Director]).unwrap());
        let subject = authority::NodeSubject { cluster_id: "c", name: &name, id: crate::model::NodeId(1), roles: &roles };
        let leaf = ca.sign_node(&authority::request(&key), &subject, BootClock.unix_now()).unwrap();
        file("n.crt", files::pem::CERTIFICATE, &leaf.der);
    };
    file("n.key", files::pem::PRIVATE_KEY, key.pkcs8());
    file("ca.crt", files::pem::CERTIFICATE, ours.certificate());
    let at = |name: &str| dir.path().join(name).display().to_string();
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nca = \"{}\"\n", at("n.crt"), at("n.key"), at("ca.crt"));
    let config = config(dir.path(), "192.0.2.1:7400".parse().unwrap(), &tls);
    let read =
        |roles: &[Role]| external(&config, config.tls.as_ref().unwrap(), Roles::new(roles.iter().copied()).as_ref()).map(|_| ());
    put(&ours, "d1");
    assert_eq!(read(&[Role::Director]), Ok(()));
    let error = read(&[Role::Director, Role::RealServer]).unwrap_err();
    assert!(error.contains("n.crt") && error.contains("OU lvs-real-server"), "{error}");
    put(&ours, "d2");
    let error = read(&[]).unwrap_err();
    assert!(error.contains("n.crt") && error.contains("CN d2") && error.contains("this node is d1"), "{error}");
    put(&theirs, "d1");
    let error = read(&[]).unwrap_err();
    assert!(error.contains("n.crt is not of the ca in") && error.contains("ca.crt"), "{error}");
    assert!(load(&config).is_err(), "nor does the node start with it");
}
