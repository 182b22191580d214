//! Who is in, who is out, and why.

use super::*;
use crate::model::ServiceName;
use crate::reconcile::{
    ReconcileInputs,
    fixture::{all_in_place, cluster, dest, director, down, host, http, name, own, real_server, roles, target, vip, vip_name},
};
use std::sync::Arc;

fn decide_with(inputs: &ReconcileInputs, observed: &KernelState) -> Desired {
    desired(&DesiredInput {
        roles: &inputs.roles,
        address: inputs.address,
        state: &inputs.state,
        in_place: &inputs.in_place,
        own: &inputs.own,
        ownership: &inputs.ownership,
        kept_whole: &inputs.kept_whole,
        observed,
    })
}

fn decide(inputs: &ReconcileInputs) -> Desired {
    decide_with(inputs, &KernelState::default())
}

/// A kernel that has the service with these servers.
fn kernel_with(servers: &[u8]) -> KernelState {
    let dests = servers.iter().map(|number| (dest(*number), Dest::plain(Weight(1), crate::model::ForwardMethod::Dr)));
    let service = IpvsService { options: ServiceOptions::plain(crate::model::Scheduler::Rr, vip()), dests: dests.collect() };
    KernelState { services: [(http(), service)].into(), ..KernelState::default() }
}

/// The servers that are forwarded to, by the last byte of their address.
fn servers(desired: &Desired) -> Vec<u8> {
    let last_byte = |dest: &DestKey| match dest.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => panic!("no such server"),
    };
    desired.services[&http()].dests.keys().map(last_byte).collect()
}

fn presence(desired: &Desired, server: &str) -> Presence {
    desired.decisions.iter().find(|decision| decision.target == target(server)).unwrap().presence.clone()
}

fn reason(desired: &Desired, server: &str) -> String {
    desired.decisions.iter().find(|decision| decision.target == target(server)).unwrap().reason.clone()
}

fn with_state(inputs: ReconcileInputs, change: impl FnOnce(&mut ClusterState)) -> ReconcileInputs {
    let mut state = cluster();
    change(&mut state);
    ReconcileInputs { state: Arc::new(state), ..inputs }
}

fn server<'a>(state: &'a mut ClusterState, server: &str) -> &'a mut RealServer {
    state.rules.services.get_mut(&name::<ServiceName>("http")).unwrap().servers.get_mut(&name(server)).unwrap()
}

#[test]
fn a_director_forwards_to_all_servers_that_are_up_and_in_place() {
    let wanted = decide(&director());
    let service = &wanted.services[&http()];
    assert_eq!(service.options, ServiceOptions::plain(crate::model::Scheduler::Wlc, vip()));
    let weights: Vec<u32> = service.dests.values().map(|dest| dest.weight).collect();
    assert_eq!((servers(&wanted), weights), (vec![21, 22, 23], vec![21, 22, 23]));
    assert_eq!(presence(&wanted, "r1"), Presence::In { weight: Weight(21) });
    assert_eq!(reason(&wanted, "r1"), "up, VIP in place");
    assert!(wanted.lo_vips.is_empty() && wanted.serves.is_empty());
}

#[test]
fn there_is_a_service_on_each_address_of_the_group() {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100]);
    let inputs = with_state(director(), |state| {
        state.rules.vips.get_mut(&vip_name()).unwrap().addresses.extend([host(101), v6]);
    });
    let wanted = decide(&inputs);
    let addresses: Vec<IpAddr> = wanted.services.keys().map(|key| key.address).collect();
    assert_eq!(addresses, [host(100), host(101), v6]);
    assert_eq!(wanted.vips, [host(100), host(101), v6].into());
    assert_eq!(wanted.decisions.len(), 3);
    let pools: Vec<usize> = wanted.services.values().map(|service| service.dests.len()).collect();
    assert_eq!(pools, [3, 3, 0], "servers and vip must be of one family");
}

#[test]
fn a_server_that_the_cluster_holds_for_down_is_out_wherever_it_was() {
    let inputs = with_state(director(), |state| drop(state.verdicts.insert(target("r2"), down())));
    let wanted = decide_with(&inputs, &kernel_with(&[21, 22, 23]));
    assert_eq!(servers(&wanted), [21, 23]);
    assert_eq!(reason(&wanted, "r2"), "2 of 3 say down");
}

#[test]
fn before_the_first_verdict_what_is_in_stays_and_what_is_out_waits() {
    let inputs = with_state(director(), |state| state.verdicts.clear());
    let wanted = decide_with(&inputs, &kernel_with(&[21]));
    assert_eq!(servers(&wanted), [21]);
    assert_eq!(presence(&wanted, "r1"), Presence::Kept { weight: Weight(21) });
    assert_eq!(presence(&wanted, "r2"), Presence::Out(OutReason::NotJudged));
}

#[test]
fn without_a_check_no_verdict_is_waited_for() {
    let inputs = with_state(director(), |state| {
        state.verdicts.clear();
        state.rules.services.values_mut().for_each(|service| service.check = None);
    });
    assert_eq!(servers(&decide(&inputs)), [21, 22, 23]);
}

#[test]
fn a_server_that_says_its_vip_is_not_in_place_gets_nothing() {
    let mut in_place = all_in_place();
    in_place.insert(name("r1"), [(vip_name(), Err("no permission".to_owned()))].into());
    let wanted = decide_with(&ReconcileInputs { in_place: Arc::new(in_place), ..director() }, &kernel_with(&[21, 22, 23]));
    assert_eq!(servers(&wanted), [22, 23]);
    assert_eq!(reason(&wanted, "r1"), "its VIP is not in place: no permission");
}

#[test]
fn with_no_word_from_servers_a_restarted_worker_disturbs_nothing_and_a_fresh_kernel_sends_nothing() {
    let silent = ReconcileInputs { in_place: Arc::default(), ..director() };
    assert_eq!(servers(&decide_with(&silent, &kernel_with(&[21, 23]))), [21, 23]);
    let fresh = decide(&silent);
    assert_eq!(servers(&fresh), [0_u8; 0]);
    assert_eq!(presence(&fresh, "r1"), Presence::Out(OutReason::NoWord(name("r1"))));
    // A word on another group is no word on this one.
    let other = [(name("r1"), VipsReady::from([(name("mail"), Ok(()))]))].into();
    assert_eq!(servers(&decide(&ReconcileInputs { in_place: Arc::new(other), ..director() })), [0_u8; 0]);
}

#[test]
fn a_server_without_agent_must_be_marked_as_such() {
    let inputs = with_state(director(), |state| drop(state.nodes.remove(&name("r3"))));
    let wanted = decide_with(&inputs, &kernel_with(&[21, 22, 23]));
    assert_eq!(servers(&wanted), [21, 22]);
    assert!(reason(&wanted, "r3").contains("agentless"), "{}", reason(&wanted, "r3"));
    let marked = with_state(director(), |state| {
        state.nodes.remove(&name("r3"));
        server(state, "r3").agentless = true;
    });
    assert_eq!(servers(&decide(&marked)), [21, 22, 23]);
}

#[test]
fn what_this_director_cannot_reach_it_leaves_out_and_says_so() {
    let mut seen: BTreeMap<_, _> = [own("r1", Finding::Down), own("r2", Finding::Suspect), own("r3", Finding::Up)].into();
    let wanted = decide(&ReconcileInputs { own: Arc::new(seen.clone()), ..director() });
    assert_eq!(servers(&wanted), [22, 23]);
    assert_eq!(reason(&wanted, "r1"), "path fault, this director cannot reach it: connection refused");

    // A word about the server's former address or check says nothing of the present one.
    seen.get_mut(&target("r1")).unwrap().fingerprint += 1;
    assert_eq!(servers(&decide(&ReconcileInputs { own: Arc::new(seen), ..director() })), [21, 22, 23]);
}

#[test]
fn path_faults_alone_never_empty_a_pool() {
    let own: BTreeMap<_, _> = ["r1", "r2", "r3"].map(|server| own(server, Finding::Down)).into();
    let wanted = decide(&ReconcileInputs { own: Arc::new(own.clone()), ..director() });
    assert_eq!(servers(&wanted), [21, 22, 23]);
    assert!(reason(&wanted, "r1").ends_with("but it would be left with none"));

    // r3 is down for all: r1 and r2 are the pool that must not be emptied.
    let inputs = with_state(ReconcileInputs { own: Arc::new(own.clone()), ..director() }, |state| {
        drop(state.verdicts.insert(target("r3"), down()));
    });
    assert_eq!(servers(&decide(&inputs)), [21, 22]);

    // A drained server takes no new connections: it does not count as one that is left.
    let mut own = own;
    own.remove(&target("r3"));
    let inputs = with_state(ReconcileInputs { own: Arc::new(own), ..director() }, |state| server(state, "r3").weight = Weight(0));
    let wanted = decide(&inputs);
    assert_eq!(servers(&wanted), [21, 22, 23]);
    assert_eq!(wanted.services[&http()].dests[&dest(23)].weight, 0);
}

#[test]
fn a_pool_of_which_this_director_alone_misses_most_is_kept_whole() {
    let own: BTreeMap<_, _> = ["r1", "r2"].map(|server| own(server, Finding::Down)).into();
    let blind = ReconcileInputs { own: Arc::new(own), ..director() };
    assert_eq!(servers(&decide(&blind)), [23]);
    let keeps = ReconcileInputs { kept_whole: [name("http")].into(), ..blind.clone() };
    let wanted = decide(&keeps);
    assert_eq!(servers(&wanted), [21, 22, 23]);
    assert_eq!(
        reason(&wanted, "r1"),
        "up, VIP in place; this director alone cannot reach it (connection refused), nor most of this pool: it keeps it in, and leaves the VIP to another director"
    );
    assert_eq!(reason(&wanted, "r3"), "up, VIP in place");
    // A server that is down for the cluster is out all the same.
    let wanted = decide(&with_state(keeps, |state| drop(state.verdicts.insert(target("r2"), down()))));
    assert_eq!(servers(&wanted), [21, 23]);
    assert_eq!(servers(&decide(&ReconcileInputs { kept_whole: [name("mail")].into(), ..blind })), [23]);
}

#[test]
fn before_the_first_verdict_a_director_trusts_its_own_eyes() {
    let own = [own("r1", Finding::Down)].into();
    let inputs = with_state(ReconcileInputs { own: Arc::new(own), ..director() }, |state| state.verdicts.clear());
    assert_eq!(servers(&decide_with(&inputs, &kernel_with(&[21, 22, 23]))), [22, 23]);
}

#[test]
fn a_real_server_carries_the_vips_of_its_services_and_forwards_nothing() {
    let wanted = decide(&real_server());
    assert_eq!((wanted.lo_vips.clone(), wanted.services.len(), wanted.decisions.len()), ([vip()].into(), 0, 0));
    assert_eq!(wanted.serves, [(vip_name(), Ok([vip()].into()))].into());
    let elsewhere = decide(&ReconcileInputs { address: host(99), ..real_server() });
    assert!(elsewhere.lo_vips.is_empty() && elsewhere.serves.is_empty());
    let no_role = decide(&ReconcileInputs { roles: roles(&[Role::Witness]), ..real_server() });
    assert!(no_role.lo_vips.is_empty());
    assert!(no_role.serves[&vip_name()].as_ref().is_err_and(|why| why.contains("real-server")));
}

#[test]
fn a_director_that_is_a_real_server_too_forwards_only_while_it_holds_the_vip() {
    let both = ReconcileInputs {
        roles: roles(&[Role::Director, Role::RealServer]),
        ..ReconcileInputs { address: host(21), ..director() }
    };
    let held = Holding::Held { epoch: 1, since_unix_ms: 0 };
    let holder = decide(&ReconcileInputs { ownership: [(vip_name(), held)].into(), ..both.clone() });
    assert_eq!((servers(&holder), holder.lo_vips.clone()), (vec![21, 22, 23], [vip()].into()));

    let standby =
        decide_with(&ReconcileInputs { ownership: [(vip_name(), Holding::NotHeld)].into(), ..both.clone() }, &kernel_with(&[21]));
    assert_eq!((standby.services.len(), standby.lo_vips.clone()), (0, [vip()].into()));
    assert_eq!(presence(&standby, "r2"), Presence::Out(OutReason::NotHolder));

    // Before the guard's first word, what is there stays.
    assert_eq!(decide_with(&both, &kernel_with(&[21])).services.len(), 1);
    assert_eq!(decide(&both).services.len(), 0);
    // A director that serves nothing itself has the rules ahead of time.
    assert_eq!(decide(&ReconcileInputs { ownership: [(vip_name(), Holding::NotHeld)].into(), ..director() }).services.len(), 1);
}
