//! The loop on a real kernel, whose tables `ipvsadm` changes meanwhile (see `kernel/io/tests/lab.rs`).

use super::OwnedVips;
use crate::{
    clock::{BootClock, Clock as _},
    kernel::io::{
        Linux,
        tests::lab::{ipvs_sysctls, lab, run, say, sysctls},
    },
    reconcile::{
        self, ReconcileInputs, ReconcileReport,
        fixture::{director, real_server, vip_name},
    },
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// Hand edits are put back within a second.
const PUT_BACK: Duration = Duration::from_secs(1);

fn start(
    dir: &Path,
    inputs: ReconcileInputs,
) -> (watch::Sender<ReconcileInputs>, watch::Receiver<ReconcileReport>, CancellationToken, JoinHandle<()>) {
    let (inputs, inputs_rx) = watch::channel(inputs);
    let (report_tx, reports) = watch::channel(ReconcileReport::default());
    let cancel = CancellationToken::new();
    let (linux, owned) = (Linux::open(dir).unwrap(), OwnedVips::open(dir).unwrap());
    let task = tokio::spawn(reconcile::run(linux, owned, inputs_rx, report_tx, BootClock, cancel.clone()));
    (inputs, reports, cancel, task)
}

async fn until(reports: &mut watch::Receiver<ReconcileReport>, wanted: impl FnMut(&ReconcileReport) -> bool) -> ReconcileReport {
    let found = tokio::time::timeout(Duration::from_secs(10), reports.wait_for(wanted)).await;
    found.expect("not reported within ten seconds").unwrap().clone()
}

fn rules() -> Vec<String> {
    let mut lines: Vec<String> = run("ipvsadm -Sn").lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn hand_edits_on_a_real_kernel_are_put_back_within_a_second() {
    let Some(dir) = lab("drift") else { return };
    run("ipvsadm -A -t 192.0.2.200:443 -s rr -p 60");
    run("ipvsadm -a -t 192.0.2.200:443 -r 192.0.2.31:443 -m");
    let foreign = rules();
    let (inputs, mut reports, cancel, task) = start(&dir, director());
    let report = until(&mut reports, |report| report.ready).await;
    assert_eq!((report.foreign.len(), report.error), (1, None));
    let settled = rules();
    let ours = [
        "-A -t 192.0.2.100:80 -s wlc",
        "-a -t 192.0.2.100:80 -r 192.0.2.21:80 -g -w 21",
        "-a -t 192.0.2.100:80 -r 192.0.2.22:80 -g -w 22",
        "-a -t 192.0.2.100:80 -r 192.0.2.23:80 -g -w 23",
    ];
    let mut all: Vec<String> = foreign.iter().cloned().chain(ours.map(str::to_owned)).collect();
    all.sort();
    assert_eq!(settled, all);

    let edits = [
        "-e -t 192.0.2.100:80 -r 192.0.2.21:80 -m -w 9 -x 100",
        "-d -t 192.0.2.100:80 -r 192.0.2.22:80",
        "-a -t 192.0.2.100:80 -r 192.0.2.99:80 -i",
        "-E -t 192.0.2.100:80 -s mh -p 300 -b mh-port",
        "-A -u 192.0.2.100:53 -s rr",
        "-D -t 192.0.2.100:80",
    ];
    let mut slowest = Duration::ZERO;
    for edit in edits {
        run(&format!("ipvsadm {edit}"));
        assert_ne!(rules(), settled, "{edit} changed nothing");
        let begun = BootClock.now();
        while rules() != settled {
            assert!(BootClock.now() - begun < PUT_BACK, "{edit} stood for {:?}: {:?}", BootClock.now() - begun, rules());
            sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(BootClock.now() - begun);
    }
    assert_eq!(reports.borrow().drifts, 6);
    run("sysctl -qw net.ipv4.vs.expire_nodest_conn=0");
    until(&mut reports, |report| report.drifts == 7).await;
    assert_eq!(ipvs_sysctls(), ["1", "3"]);
    say(&format!("six hand edits put back, the slowest after {slowest:?}"));

    // Stopping and starting with no word from anybody disturbs nothing.
    cancel.cancel();
    task.await.unwrap();
    let unknowing = ReconcileInputs { in_place: Arc::default(), ..inputs.borrow().clone() };
    let (_inputs, mut reports, cancel, task) = start(&dir, unknowing);
    let report = until(&mut reports, |report| report.ready).await;
    assert_eq!((report.steps_last, rules()), (0, settled));
    cancel.cancel();
    task.await.unwrap();

    reconcile::withdraw(&mut Linux::open(&dir).unwrap(), &mut OwnedVips::open(&dir).unwrap()).await.unwrap();
    assert_eq!((rules(), ipvs_sysctls()), (foreign, ["0", "1"].map(str::to_owned)));
}

#[tokio::test]
async fn a_real_servers_vip_stays_when_its_agent_stops_and_goes_when_it_leaves() {
    let Some(dir) = lab("real-server") else { return };
    let before = sysctls();
    let on_lo = || run("ip -o address show dev lo").contains("192.0.2.100/32");
    let (_inputs, mut reports, cancel, task) = start(&dir, real_server());
    let report = until(&mut reports, |report| report.in_place.get(&vip_name()) == Some(&Ok(()))).await;
    assert_eq!((report.error, report.ready), (None, false));
    assert_eq!((sysctls(), on_lo()), (["1", "1", "2", "2"].map(str::to_owned).to_vec(), true));

    run("ip address del 192.0.2.100/32 dev lo");
    let begun = BootClock.now();
    while !on_lo() {
        assert!(BootClock.now() - begun < PUT_BACK, "the VIP was gone for {:?}", BootClock.now() - begun);
        sleep(Duration::from_millis(20)).await;
    }
    cancel.cancel();
    task.await.unwrap();
    assert!(on_lo());

    // The next agent finds our values, and still knows the former ones.
    let (inputs, mut reports, cancel, task) = start(&dir, real_server());
    until(&mut reports, |report| report.in_place.get(&vip_name()) == Some(&Ok(()))).await;
    inputs.send_modify(|inputs| {
        let state = Arc::make_mut(&mut inputs.state);
        state.rules.services.clear();
        state.rules.vips.clear();
        state.revision += 1;
    });
    until(&mut reports, |report| report.applied_revision == 5).await;
    assert_eq!((sysctls(), on_lo()), (before, false));
    cancel.cancel();
    task.await.unwrap();
}
