//! The loop over the fake kernel.

use super::*;
use crate::{
    clock::BootClock,
    kernel::{FakeDataPlane, IpvsStep, ServiceKey, SysctlStep},
    reconcile::fixture::{cluster, dest, director, host, http, name, real_server, vip, vip_name},
    rules::ClusterState,
};
use std::{path::PathBuf, sync::Arc};
use tokio::task::JoinHandle;

/// Only a hang comes so far.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent's reconciling, with the other ends of all that it is tied to.
struct Rig {
    fake: FakeDataPlane,
    inputs: watch::Sender<ReconcileInputs>,
    reports: watch::Receiver<ReconcileReport>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
    dir: PathBuf,
}

impl Rig {
    fn new(test: &str, fake: &FakeDataPlane, inputs: ReconcileInputs) -> Self {
        let dir = std::env::temp_dir().join(format!("lvs-agent-task-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self::again(dir, fake, inputs)
    }

    /// An agent that finds the data directory of another.
    fn again(dir: PathBuf, fake: &FakeDataPlane, inputs: ReconcileInputs) -> Self {
        let (inputs, inputs_rx) = watch::channel(inputs);
        let (report_tx, reports) = watch::channel(ReconcileReport::default());
        let cancel = CancellationToken::new();
        let owned = OwnedVips::open(&dir).unwrap();
        let task = tokio::spawn(run(fake.clone(), owned, inputs_rx, report_tx, BootClock, cancel.clone()));
        Self { fake: fake.clone(), inputs, reports, cancel, task, dir }
    }

    async fn until(&mut self, wanted: impl FnMut(&ReconcileReport) -> bool) -> ReconcileReport {
        let found = tokio::time::timeout(PATIENCE, self.reports.wait_for(wanted)).await;
        found.unwrap_or_else(|_| panic!("not reported, even if waited for long")).unwrap().clone()
    }

    /// Returns when the kernel has been looked at `times` more.
    async fn looks(&self, times: u64) {
        let enough = self.fake.looks() + times;
        while self.fake.looks() < enough {
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn change_state(&self, change: impl FnOnce(&mut ClusterState)) {
        self.inputs.send_modify(|inputs| change(Arc::make_mut(&mut inputs.state)));
    }

    async fn stop(self) -> PathBuf {
        self.cancel.cancel();
        self.task.await.unwrap();
        self.dir
    }
}

fn pool(fake: &FakeDataPlane) -> usize {
    fake.state().services.get(&http()).map_or(0, |service| service.dests.len())
}

#[tokio::test]
async fn nothing_is_done_before_the_state_is_loaded_or_without_a_cluster() {
    let fake = FakeDataPlane::default();
    let rig = Rig::new("unloaded", &fake, ReconcileInputs { loaded: false, ..director() });
    sleep(Duration::from_millis(50)).await;
    rig.inputs.send_modify(|inputs| {
        inputs.loaded = true;
        Arc::make_mut(&mut inputs.state).cluster_id.clear();
    });
    sleep(Duration::from_millis(50)).await;
    assert_eq!((fake.looks(), fake.take_done()), (0, vec![]));
    rig.stop().await;
}

#[tokio::test]
async fn rules_reach_the_kernel_and_changes_follow_at_once() {
    let fake = FakeDataPlane::default();
    let mut rig = Rig::new("rules", &fake, director());
    let report = rig.until(|report| report.ready).await;
    assert_eq!((report.applied_revision, report.error, report.steps_last, report.decisions.len()), (4, None, 5, 3));
    fake.take_done();
    let was = fake.state().services.remove(&http()).unwrap().dests;
    rig.change_state(|state| state.verdicts.values_mut().for_each(|verdict| verdict.0 = crate::rules::Verdict::Down));
    rig.until(|report| report.steps_last == 3).await;
    assert_eq!(
        fake.take_done(),
        [21, 22, 23].map(|number| Step::Ipvs(IpvsStep::RemoveDest(http(), dest(number), was[&dest(number)])))
    );
    rig.stop().await;
    assert_eq!(fake.state().services.len(), 1, "stopping leaves the kernel as it is");
}

#[tokio::test]
async fn a_kernel_that_has_the_rules_already_is_taken_over_without_a_step() {
    let fake = FakeDataPlane::default();
    let mut first = Rig::new("adopt", &fake, director());
    first.until(|report| report.ready).await;
    let dir = first.stop().await;
    fake.take_done();
    let unknowing = ReconcileInputs { in_place: Arc::default(), ..director() };
    let mut second = Rig::again(dir, &fake, unknowing);
    let report = second.until(|report| report.ready).await;
    assert_eq!((fake.take_done(), report.drifts), (vec![], 0));
    second.stop().await;
}

#[tokio::test]
async fn hand_edits_of_ours_are_put_back_and_others_services_left_alone() {
    let fake = FakeDataPlane::default();
    let foreign = ServiceKey { address: host(200), ..http() };
    let mut rig = Rig::new("drift", &fake, director());
    rig.until(|report| report.ready).await;
    let settled = fake.state();
    fake.edit(|kernel| {
        let ours = kernel.services.get_mut(&http()).unwrap();
        ours.options.scheduler = "sh".to_owned();
        ours.dests.remove(&dest(21));
        ours.dests.get_mut(&dest(22)).unwrap().weight = 999;
        let copy = ours.clone();
        ours.dests.insert(dest(66), copy.dests[&dest(23)]);
        kernel.services.insert(foreign, copy);
        kernel.ipvs.in_force = false;
    });
    let report = rig.until(|report| report.drifts == 1).await;
    assert_eq!((report.steps_last, report.foreign, report.error), (5, vec![foreign], None));
    let mut now = fake.state();
    assert!(now.services.remove(&foreign).is_some());
    assert_eq!(now, settled);
    rig.stop().await;
}

#[tokio::test]
async fn a_kernel_that_takes_long_to_read_is_looked_at_quickly_in_between_and_hand_edits_are_found_all_the_same() {
    let fake = FakeDataPlane::default();
    fake.set_slowness(Duration::from_millis(100));
    let mut rig = Rig::new("slow", &fake, director());
    rig.until(|report| report.ready).await;
    let quick_looks = |wanted: u64| {
        let fake = fake.clone();
        async move {
            while fake.quick_looks() < wanted {
                sleep(Duration::from_millis(10)).await;
            }
        }
    };
    quick_looks(1).await;
    let looks = fake.looks();
    quick_looks(3).await;
    assert_eq!(fake.looks(), looks, "nothing had changed");
    fake.edit(|kernel| {
        kernel.services.get_mut(&http()).unwrap().dests.remove(&dest(21)).unwrap();
    });
    rig.until(|report| report.drifts == 1).await;
    assert_eq!(pool(&fake), 3);
    // What the inputs say anew never waits for the next whole look.
    rig.change_state(|state| state.verdicts.values_mut().for_each(|verdict| verdict.0 = crate::rules::Verdict::Down));
    rig.until(|report| report.steps_last == 3).await;
    assert_eq!(pool(&fake), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_vip_that_left_the_rules_is_cleaned_up_even_when_the_agent_was_down_meanwhile() {
    let fake = FakeDataPlane::default();
    let mut rig = Rig::new("left", &fake, director());
    rig.until(|report| report.ready).await;
    let dir = rig.stop().await;
    let mut state = cluster();
    state.rules = crate::rules::RuleSet::default();
    state.revision += 1;
    let mut rig = Rig::again(dir.clone(), &fake, ReconcileInputs { state: Arc::new(state), ..director() });
    rig.until(|report| report.applied_revision == 5).await;
    assert_eq!(fake.state().services.len(), 0);
    // From now on the address is anybody's.
    assert_eq!(OwnedVips::open(&dir).unwrap().vips().len(), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_node_that_is_no_director_any_more_gets_its_ipvs_settings_back() {
    let fake = FakeDataPlane::default();
    let mut rig = Rig::new("demoted", &fake, director());
    rig.until(|report| report.ready).await;
    assert!(fake.state().ipvs.in_force);
    rig.inputs.send_modify(|inputs| inputs.roles = crate::reconcile::fixture::roles(&[Role::RealServer]));
    rig.until(|report| !report.ready).await;
    assert_eq!(fake.state(), KernelState::default());
    rig.stop().await;
}

#[tokio::test]
async fn a_director_that_may_not_change_ipvs_settings_says_so_and_serves() {
    let fake = FakeDataPlane::default();
    fake.break_steps(vec![Step::Sysctl(SysctlStep::TuneIpvs)]);
    let mut rig = Rig::new("read-only", &fake, director());
    let report = rig.until(|report| report.error.is_some()).await;
    assert!(report.ready && pool(&fake) == 3, "{report:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_real_server_says_in_place_only_when_it_is() {
    let fake = FakeDataPlane::default();
    fake.break_steps(vec![Step::Sysctl(SysctlStep::SilenceArp)]);
    let mut rig = Rig::new("in-place", &fake, real_server());
    let report = rig.until(|report| report.error.is_some()).await;
    let word = report.in_place[&vip_name()].clone().unwrap_err();
    assert!(word.contains("silence arp"), "{word}");
    assert!(fake.state().lo_addresses.is_empty(), "the address would have leaked");
    fake.break_steps(vec![]);
    let report = rig.until(|report| report.error.is_none()).await;
    assert_eq!((report.in_place, report.ready), ([(vip_name(), Ok(()))].into(), false));
    assert_eq!(fake.state().lo_addresses, [vip()].into());
    rig.change_state(|state| {
        state.rules.services.clear();
        state.revision += 1;
    });
    let report = rig.until(|report| report.applied_revision == 5).await;
    assert_eq!((report.in_place.len(), fake.state()), (0, KernelState::default()));
    rig.stop().await;
}

#[tokio::test]
async fn a_failing_step_stops_no_other_and_readiness_outlasts_a_lost_race() {
    let fake = FakeDataPlane::default();
    let mut rig = Rig::new("failing", &fake, director());
    rig.until(|report| report.ready).await;
    let options = fake.state().services[&http()].options.clone();
    fake.break_steps(vec![Step::Ipvs(IpvsStep::EditService(http(), options))]);
    fake.edit(|kernel| {
        let ours = kernel.services.get_mut(&http()).unwrap();
        ours.options.flags = 1;
        ours.dests.clear();
    });
    let report = rig.until(|report| report.error.is_some()).await;
    assert!(report.ready);
    assert_eq!(pool(&fake), 3);
    assert!(report.unprogrammed.is_empty(), "a lost race with a hand edit is no fault of this director");
    let report = rig.until(|report| !report.ready).await;
    let of_group = &report.unprogrammed[&vip_name()];
    assert_eq!((of_group.failed, of_group.services), (1, 1));
    fake.break_steps(vec![]);
    let report = rig.until(|report| report.ready).await;
    assert_eq!((report.error, report.unprogrammed.len()), (None, 0));
    rig.stop().await;
}

#[tokio::test]
async fn a_director_that_cannot_see_its_kernel_says_so_and_stays_what_it_was() {
    let fake = FakeDataPlane::default();
    fake.set_blind(true);
    let mut rig = Rig::new("blind", &fake, director());
    assert!(!rig.until(|report| report.error.is_some()).await.ready);
    fake.set_blind(false);
    assert!(rig.until(|report| report.error.is_none()).await.ready);
    fake.set_blind(true);
    assert!(rig.until(|report| report.error.is_some()).await.ready);
    rig.stop().await;
}

#[tokio::test]
async fn a_director_without_ipvs_is_ready_as_long_as_there_are_no_services() {
    let mut inputs = director();
    let rules = inputs.state.rules.clone();
    Arc::make_mut(&mut inputs.state).rules.services.clear();
    let mut rig = Rig::new("no-ipvs", &FakeDataPlane::without_ipvs(), inputs);
    rig.until(|report| report.ready && report.error.is_none()).await;
    rig.change_state(|state| state.rules = rules);
    let report = rig.until(|report| !report.ready).await;
    assert!(report.error.is_some_and(|error| error.contains("no IPVS")));
    rig.stop().await;
}

#[tokio::test]
async fn a_burst_of_changes_is_taken_together() {
    let fake = FakeDataPlane::default();
    let mut rig = Rig::new("burst", &fake, director());
    rig.until(|report| report.ready).await;
    let before = fake.looks();
    for revision in 5..1000 {
        rig.change_state(|state| state.revision = revision);
    }
    rig.until(|report| report.applied_revision == 999).await;
    assert!(fake.looks() - before < 20, "{} looks for one burst", fake.looks() - before);
    rig.looks(2).await;
    rig.stop().await;
}

#[tokio::test]
async fn leaving_takes_everything_of_ours_away_and_nothing_else() {
    let fake = FakeDataPlane::default();
    let foreign = ServiceKey { address: host(200), ..http() };
    let both = crate::reconcile::fixture::roles(&[Role::Director, Role::RealServer]);
    let holding = crate::model::Holding::Held { epoch: 1, since_unix_ms: 0 };
    let inputs = ReconcileInputs { roles: both, ownership: [(name("web"), holding)].into(), address: host(21), ..director() };
    let mut rig = Rig::new("leave", &fake, inputs);
    rig.until(|report| report.ready).await;
    let dir = rig.stop().await;
    fake.edit(|kernel| {
        let copy = kernel.services[&http()].clone();
        kernel.services.insert(foreign, copy);
        kernel.lo_addresses.insert(host(200));
    });
    let mut owned = OwnedVips::open(&dir).unwrap();
    fake.break_steps(vec![Step::Ipvs(IpvsStep::RemoveService(http()))]);
    let error = withdraw(&mut fake.clone(), &mut owned).await.unwrap_err();
    assert!(error.to_string().starts_with("1 of our entries stay in the kernel: cannot remove service"), "{error}");
    fake.break_steps(vec![]);
    withdraw(&mut fake.clone(), &mut owned).await.unwrap();
    let left = fake.state();
    assert_eq!(left.services.keys().copied().collect::<Vec<_>>(), [foreign]);
    assert_eq!(left.lo_addresses, [host(200)].into());
    assert_eq!((left.arp, left.ipvs), Default::default(), "the former settings are back");
    assert!(OwnedVips::open(&dir).unwrap().vips().is_empty());
}
