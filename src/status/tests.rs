//! What a status says of VIPs, servers and votes, and which problems it names.

use super::*;
use crate::{
    gossip::{Facts, NodeView},
    model::{KeyId, Secret, Weight},
    reconcile::{OutReason, Presence},
    rules::{
        Command, SecurityChange,
        fixture::{self, host, joined, name, server_of, service, target, verdict_change},
    },
    verdict::Finding as Sight,
};

mod less_fit;
mod unheld;
mod withdrawn;

const NOW_MS: u64 = 10_000;

/// All that a status is made of: at first a cluster in which all is well. d1 holds the VIP, r1 and r2 are up.
struct World {
    state: ClusterState,
    view: ClusterView,
    raft: RaftView,
    report: ReconcileReport,
    own: BTreeMap<Target, Observation>,
    troubles: Vec<String>,
}

impl World {
    fn well() -> Self {
        let mut state = fixture::cluster();
        let up = ["r1", "r2"].map(|server| verdict_change("http", server, Verdict::Up, "all say up"));
        state.apply(&Command::Verdicts(up.into())).unwrap();
        let nodes = state.nodes.values().map(|node| {
            let facts = Facts {
                roles: node.roles.clone(),
                addr: node.addr,
                version: "1.2.3".to_owned(),
                kernel: Vec::new(),
                holds: crate::gossip::KeyInventory::default(),
                withdrawn: false,
            };
            (node.name.clone(), NodeView { live: true, facts: Some(facts), revision: 1, ..NodeView::default() })
        });
        let view = ClusterView { nodes: nodes.collect() };
        let voters = [NodeId(1), NodeId(2), NodeId(3)].into();
        let raft = RaftView { leader: Some(NodeId(2)), term: 7, voters, quorum: true, ..RaftView::default() };
        let mut world =
            Self { state, view, raft, report: ReconcileReport::default(), own: BTreeMap::new(), troubles: Vec::new() };
        world.holds("d1", 1, 4_000);
        world.places("r1", Ok(()));
        world.places("r2", Ok(()));
        world
    }

    fn node(&mut self, node: &str) -> &mut NodeView {
        self.view.nodes.entry(name(node)).or_default()
    }

    fn holds(&mut self, node: &str, epoch: u64, since_unix_ms: u64) {
        self.node(node).holding.insert(name("front"), Holding::Held { epoch, since_unix_ms });
    }

    fn places(&mut self, node: &str, word: Result<(), String>) {
        self.node(node).in_place.insert(name("front"), word);
    }

    /// What `node` says of `http/r1`.
    fn says(&mut self, node: &str, seen: Sight, since_unix_ms: u64) {
        let service = &self.state.rules.services[&name("http")];
        let check = service.check.as_ref().unwrap();
        let asked = verdict::check_address(&service.servers[&name("r1")], check);
        let fingerprint = verdict::check_fingerprint(asked, &check.kind);
        let word = Observation { seen, reason: format!("{node} says so"), since_unix_ms, fingerprint };
        self.node(node).observations.insert(target("http", "r1"), word);
    }

    fn judges(&mut self, server: &str, to: Verdict) {
        self.state.apply(&Command::Verdicts(vec![verdict_change("http", server, to, "2 of 3")])).unwrap();
    }

    fn decides(&mut self, server: &str, presence: Presence) {
        let decision = Decision { target: target("http", server), presence, reason: "as decided".to_owned() };
        self.report.decisions.push(decision);
    }

    fn status(&self) -> Status {
        let Self { state, view, raft, report, own, troubles } = self;
        let me = &name("d1");
        let director = Roles::new([Role::Director]).expect("one role");
        let configured = state.nodes.get(me).map_or(&director, |node| &node.roles);
        let unix_now = Duration::from_millis(NOW_MS);
        status(&StatusInput {
            me,
            state,
            view,
            raft,
            report,
            own,
            voters_why: &BTreeMap::new(),
            configured,
            interfaces: &[],
            troubles,
            unix_now,
        })
    }

    fn vip(&self) -> VipStatus {
        self.status().vips.remove(0)
    }

    /// The server `r1` or `r2` of `http`.
    fn server(&self, server: &str) -> ServerStatus {
        let servers = self.status().services.remove(0).servers;
        servers.into_iter().find(|status| status.name.as_str() == server).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        self.status().problems
    }
}

fn names(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|text| name(text)).collect()
}

#[test]
fn a_cluster_that_is_well_has_no_problem() {
    let status = World::well().status();
    assert_eq!(status.problems, [""; 0]);
    let cluster = status.cluster.unwrap();
    assert_eq!((cluster.id.as_str(), cluster.revision, cluster.term, cluster.quorum), ("test", 1, 7, true));
    assert_eq!((cluster.leader, cluster.voters), (Some(name("d2")), names(&["d1", "d2", "r1"])));
    let voters: Vec<bool> = status.nodes.iter().map(|node| node.voter).collect();
    assert_eq!(voters, [true, true, true, false]);
    assert!(status.nodes.iter().all(|node| node.reachable && node.revision == 1 && node.version.as_deref() == Some("1.2.3")));
}

#[test]
fn the_holder_is_told_with_its_epoch_and_for_how_long() {
    let vip = World::well().vip();
    assert_eq!((vip.holder, vip.holders), (Some(name("d1")), names(&["d1"])));
    assert_eq!((vip.epoch, vip.held_ms), (Some(1), Some(6_000)));
}

#[test]
fn the_newest_claim_is_the_holders_and_two_claims_are_a_problem() {
    // An epoch counts before a clock: clocks of two nodes may differ.
    for (epoch, since) in [(2, 5_000), (2, 3_000), (1, 4_001)] {
        let mut world = World::well();
        world.holds("d2", epoch, since);
        let vip = world.vip();
        assert_eq!((vip.holder, vip.holders), (Some(name("d2")), names(&["d2", "d1"])));
        assert_eq!((vip.epoch, vip.held_ms), (Some(epoch), Some(NOW_MS - since)));
        assert_eq!(world.problems(), ["VIP group front is claimed by more than one node: [d2, d1]"]);
    }
}

#[test]
fn a_holder_whose_clock_is_ahead_has_held_for_no_time() {
    let mut world = World::well();
    world.holds("d1", 1, NOW_MS + 1);
    assert_eq!(world.vip().held_ms, Some(0));
}

#[test]
fn a_dead_nodes_claim_is_not_counted() {
    let mut world = World::well();
    world.holds("d2", 9, 9_000);
    world.node("d2").live = false;
    assert_eq!((world.vip().holder, world.vip().holders), (Some(name("d1")), names(&["d1"])));
    assert_eq!(world.problems(), ["node d2 is not heard"]);
    world.node("d1").live = false;
    let vip = world.vip();
    assert_eq!((vip.holder, vip.holders, vip.epoch, vip.held_ms), (None, names(&[]), None, None));
    let unheld = "no node holds VIP group front: no majority of the voters is heard (d1, d2 not); d1: not heard; d2: not heard";
    assert_eq!(world.problems(), ["node d1 is not heard", "node d2 is not heard", unheld]);
}

#[test]
fn the_claim_of_a_node_that_is_no_member_is_not_counted() {
    let mut world = World::well();
    world.holds("stranger", 9, 9_000);
    world.node("stranger").live = true;
    assert_eq!(world.vip().holders, names(&["d1"]));
    assert_eq!(world.problems(), [""; 0]);
}

#[test]
fn a_vip_that_was_given_back_has_no_holder() {
    let mut world = World::well();
    world.node("d1").holding.insert(name("front"), Holding::NotHeld);
    assert_eq!(world.vip().holder, None);
    let why = "d1: asks the voters for it; d2: has not said anything about it yet";
    assert_eq!(world.vip().why_unheld.as_deref(), Some(why));
    assert_eq!(world.problems(), [format!("no node holds VIP group front: {why}")]);
}

#[test]
fn a_member_that_was_never_heard_is_a_problem() {
    let mut world = World::well();
    world.state.apply(&joined("w1", 31, Role::Witness)).unwrap();
    let status = world.status();
    let node = status.nodes.iter().find(|node| node.name.as_str() == "w1").unwrap();
    assert_eq!((node.reachable, node.version.as_deref(), node.revision), (false, None, 0));
    assert_eq!(status.problems, ["node w1 is not heard"]);
}

#[test]
fn real_servers_without_the_vip_are_told_with_what_is_in_the_way() {
    let mut world = World::well();
    world.places("r2", Err("arp_ignore is read-only".to_owned()));
    let missing = |why: &str| vec![MissingVip { node: name("r2"), why: why.to_owned() }];
    assert_eq!((world.vip().in_place, world.vip().missing), (names(&["r1"]), missing("arp_ignore is read-only")));
    assert_eq!(world.problems(), ["VIP group front is not in place on r2: arp_ignore is read-only"]);
    world.node("r2").in_place.clear();
    assert_eq!(world.vip().missing, missing("its agent has not said anything about it yet"));
}

#[test]
fn only_agents_of_the_groups_servers_are_expected_to_have_the_vip() {
    let mut world = World::well();
    world.node("r2").in_place.clear();
    server_of(&mut world.state.rules, "r2").agentless = true;
    assert_eq!((world.vip().in_place, world.vip().missing), (names(&["r1"]), Vec::new()));
    // No member is at this address.
    let r2 = server_of(&mut world.state.rules, "r2");
    (r2.agentless, r2.address) = (false, host(99));
    assert_eq!((world.vip().in_place, world.vip().missing), (names(&["r1"]), Vec::new()));
    service(&mut world.state.rules).vip = name("back");
    assert_eq!((world.vip().in_place, world.vip().missing), (names(&[]), Vec::new()));
}

#[test]
fn the_loss_of_the_quorum_is_told_with_what_goes_on() {
    let mut world = World::well();
    (world.raft.quorum, world.raft.leader) = (false, None);
    let status = world.status();
    let cluster = status.cluster.unwrap();
    assert_eq!((cluster.quorum, cluster.leader), (false, None));
    assert_eq!(
        status.problems,
        ["no quorum: rules and verdicts are frozen, forwarding goes on; bring back a majority of the voters"]
    );
}

#[test]
fn every_elector_is_told_with_its_word_and_its_age() {
    let mut world = World::well();
    world.says("d1", Sight::Up, 7_500);
    world.says("d2", Sight::Down, NOW_MS + 500);
    world.node("d2").live = false;
    let vote = |observer: &str, state, reason: &str, age_ms, fresh| VoteStatus {
        observer: name(observer),
        state,
        reason: reason.to_owned(),
        age_ms,
        fresh,
    };
    assert_eq!(
        world.server("r1").votes,
        [
            vote("d1", ObservationStatus::Up, "d1 says so", Some(2_500), true),
            // Its clock is ahead of ours.
            vote("d2", ObservationStatus::Down, "d2 says so", Some(0), false),
            vote("r2", ObservationStatus::Unknown, "no probe finished yet", None, true),
        ]
    );
    world.says("d1", Sight::Suspect, 9_999);
    let suspicion = world.server("r1").votes.remove(0);
    assert_eq!((suspicion.state, suspicion.age_ms), (ObservationStatus::Suspect, Some(1)));
    // A word about what was asked formerly is no word on what is asked now.
    service(&mut world.state.rules).check.as_mut().unwrap().kind = fixture::http("/");
    assert_eq!(world.server("r1").votes[0].state, ObservationStatus::Unknown);
}

#[test]
fn a_verdict_is_the_committed_one_with_its_votes() {
    let mut world = World::well();
    world.judges("r1", Verdict::Down);
    let r1 = world.server("r1");
    assert_eq!((r1.verdict, r1.state, r1.why.as_str()), (VerdictStatus::Down, Pool::Out, "2 of 3"));
    world.state.verdicts.clear();
    let r1 = world.server("r1");
    assert_eq!((r1.verdict, r1.state, r1.why.as_str()), (VerdictStatus::Undecided, Pool::Out, ""));
    service(&mut world.state.rules).check = None;
    let r1 = world.server("r1");
    assert_eq!((r1.verdict, r1.state, r1.votes), (VerdictStatus::Unchecked, Pool::In, Vec::new()));
}

#[test]
fn a_server_without_its_vip_is_out_unless_it_has_no_agent() {
    let mut world = World::well();
    world.places("r1", Err("no right".to_owned()));
    assert_eq!((world.server("r1").state, world.server("r1").in_place), (Pool::Out, false));
    server_of(&mut world.state.rules, "r1").agentless = true;
    assert_eq!((world.server("r1").state, world.server("r1").in_place), (Pool::In, false));
}

#[test]
fn what_this_director_does_counts_more_than_what_it_should() {
    let mut world = World::well();
    world.decides("r1", Presence::Out(OutReason::NotHolder));
    world.decides("r2", Presence::In { weight: Weight(1) });
    world.judges("r2", Verdict::Down);
    for (server, verdict, state) in [("r1", VerdictStatus::Up, Pool::Out), ("r2", VerdictStatus::Down, Pool::In)] {
        let status = world.server(server);
        assert_eq!((status.verdict, status.state, status.why.as_str()), (verdict, state, "as decided"));
    }
    let word = Observation { seen: Sight::Down, reason: "refused".to_owned(), since_unix_ms: 0, fingerprint: 0 };
    world.own.insert(target("http", "r1"), word);
    assert_eq!(world.server("r1").local, Some(LocalView { state: ObservationStatus::Down, reason: "refused".to_owned() }));
    assert_eq!(world.server("r2").local, None);
}

#[test]
fn a_service_without_a_server_in_its_pool_is_a_problem() {
    let empty = ["service http has no server in its pool"];
    let mut world = World::well();
    world.judges("r1", Verdict::Down);
    assert_eq!(world.problems(), [""; 0]);
    world.judges("r2", Verdict::Down);
    assert_eq!(world.problems(), empty);
    world.judges("r1", Verdict::Up);
    assert_eq!(world.problems(), [""; 0]);
    world.decides("r1", Presence::Out(OutReason::NotHolder));
    assert_eq!(world.problems(), empty);
    service(&mut world.state.rules).servers.clear();
    assert_eq!(world.problems(), empty);
}

#[test]
fn what_reconciling_stumbles_over_is_a_problem() {
    let mut world = World::well();
    world.report.error = Some("ip_vs is not loaded".to_owned());
    assert_eq!(world.problems(), ["ip_vs is not loaded"]);
}

#[test]
fn a_cluster_without_a_director_says_so() {
    let mut world = World::well();
    // No entry of the log makes it so any more.
    world.state.nodes.retain(|_, node| !node.roles.has(Role::Director));
    assert_eq!(
        world.problems(),
        ["no node holds VIP group front: no node has the role director", "no node has the role director"]
    );
}

#[test]
fn a_node_that_nobody_trusts_is_told_the_one_command() {
    let mut world = World::well();
    world.raft.untrusted = Some("192.0.2.1:7400: no tls connection".to_owned());
    let [problem] = &world.problems()[..] else { panic!("{:?}", world.problems()) };
    assert!(problem.contains("`lvs-agent join SEED --token T` here: it keeps its data"), "{problem}");
    assert!(problem.contains("`lvs-agent leave --force`"), "{problem}");
    world.raft.refused = Some("n1 was removed".to_owned());
    assert_eq!(world.problems(), ["n1 was removed"], "who is told that it was removed needs no guess");
}

#[test]
fn a_rotation_says_whom_it_waits_for() {
    let mut world = World::well();
    let rotating = |world: &World| world.status().cluster.unwrap().security.rotating;
    assert_eq!(rotating(&world), None);
    world.state.apply(&Command::Security(SecurityChange::KeyAdded { key: Secret::new([2; 32]), departures: None })).unwrap();
    let has_new_key = |world: &mut World, node: &str| {
        world.node(node).facts.as_mut().unwrap().holds.keys = [KeyId(1), KeyId(2)].into();
    };
    has_new_key(&mut world, "d1");
    has_new_key(&mut world, "r1");
    assert_eq!(rotating(&world).unwrap(), "gossip key k2 is being distributed, waiting for d2, r2");
    has_new_key(&mut world, "d2");
    world.node("r2").live = false;
    assert_eq!(rotating(&world).unwrap(), "gossip key k2 is being distributed", "who is not heard is not waited for");
}

#[test]
fn what_the_keeper_could_not_do_and_keys_that_nobody_has_are_problems() {
    let mut world = World::well();
    world.troubles = vec!["no new certificate".to_owned()];
    let (issuing, next) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
    world.state.security.authorities.issuing = Some(issuing);
    assert_eq!(world.problems(), ["no new certificate"], "nobody has said yet what it has");
    let says = |world: &mut World, signs: &[Fingerprint]| {
        let holds = &mut world.node("d1").facts.as_mut().unwrap().holds;
        holds.keys = [KeyId(1)].into();
        holds.signs = signs.iter().copied().collect();
    };
    says(&mut world, &[issuing]);
    assert_eq!(world.problems().len(), 1);
    says(&mut world, &[]);
    assert!(world.problems()[1].contains("run `lvs-agent ca rotate` on a director while certificates are valid"));
    world.state.security.authorities.upcoming = Some(next);
    assert!(world.problems()[2].contains("which was to be the next: run `lvs-agent ca rotate`"));
    says(&mut world, &[next]);
    assert_eq!(world.problems().len(), 1, "the rotation mends it");
}
