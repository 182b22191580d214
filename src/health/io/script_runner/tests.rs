//! Scripts of all kinds, run as a user that may nothing. Only root can become another user, so as another these tests are left out, and say so.

use super::{
    directory::tests::{Scratch, checker},
    *,
};
use crate::health::{
    io::packets,
    script::{RunId, ScriptSubject},
};
use std::{collections::BTreeMap, fs, path::Path};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

struct Bench {
    scratch: Scratch,
    worker: Packets,
    runner: JoinHandle<()>,
    orders: u64,
}

/// A runner with these scripts; `None` where this is not root.
fn bench(scripts: &[(&str, &str)]) -> Option<Bench> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: not root, so no script can be run as another user");
        return None;
    }
    let scratch = Scratch::new();
    scripts.iter().for_each(|(name, text)| scratch.write(name, &format!("#!/bin/sh\n{text}\n")));
    let (worker, runner) = packets::pair().unwrap();
    let runner = tokio::spawn(serve(runner, checker(), scratch.directory()));
    Some(Bench { scratch, worker: Packets::new(worker).unwrap(), runner, orders: 0 })
}

impl Bench {
    async fn order(&mut self, script: &str, args: &[&str], timeout: Duration) -> RunId {
        self.orders += 1;
        let id = RunId { life: 1, number: self.orders };
        let order = ScriptRun {
            id,
            script: script.parse().unwrap(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            timeout,
            subject: ScriptSubject::Server {
                address: "10.0.0.21:3306".parse().unwrap(),
                service: "sql".parse().unwrap(),
                server: "r1".parse().unwrap(),
            },
        };
        self.worker.send(&order, MAX_RUN_BYTES).await.unwrap();
        id
    }

    async fn report(&self) -> ScriptReport {
        let report = self.worker.receive(MAX_REPORT_BYTES);
        timeout(Duration::from_secs(30), report).await.unwrap().unwrap().unwrap()
    }

    async fn run(&mut self, script: &str, args: &[&str]) -> (ScriptEnd, String) {
        self.run_for(script, args, Duration::from_secs(20)).await
    }

    async fn run_for(&mut self, script: &str, args: &[&str], timeout: Duration) -> (ScriptEnd, String) {
        let id = self.order(script, args, timeout).await;
        let report = self.report().await;
        assert_eq!(report.id, id);
        (report.ended, report.line)
    }

    /// A folder that the scripts may write in, for what does not fit in a line.
    fn open_folder(&self) -> String {
        let folder = self.scratch.path("out");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(checker().uid.as_raw()), None).unwrap();
        folder.to_str().unwrap().to_owned()
    }
}

/// Whether a process that is not a zombie has this number.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come true");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_script_that_exits_tells_its_code_and_its_first_line() {
    let Some(mut bench) = bench(&[
        ("good", "echo fine"),
        ("bad", "echo >&2; echo \"no $1 here\" >&2; echo more; exit 3"),
        ("killed", "kill -SEGV $$"),
    ]) else {
        return;
    };
    assert_eq!(bench.run("good", &[]).await, (ScriptEnd::Exited(0), "fine".to_owned()));
    assert_eq!(bench.run("bad", &["a b"]).await, (ScriptEnd::Exited(3), "no a b here".to_owned()));
    assert_eq!(bench.run("killed", &[]).await.0, ScriptEnd::Killed(11));
}

#[tokio::test]
async fn a_script_has_its_users_rights_a_clean_environment_and_no_open_files() {
    let text = "exec >$1/said; env; pwd; umask; echo groups=$(id -G); grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|CapAmb):' /proc/self/status; \
                echo session=$(($(cut -d' ' -f6 /proc/$$/stat) - $$)); ls -l /proc/$$/fd; ulimit -c";
    let Some(mut bench) = bench(&[("look", text)]) else { return };
    // What the runner's parent left open is nothing for scripts.
    let (leak, _other) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::empty(),
        None,
    )
    .unwrap();
    let folder = bench.open_folder();
    assert_eq!(bench.run("look", &[&folder]).await, (ScriptEnd::Exited(0), String::new()));
    let said = fs::read_to_string(Path::new(&folder).join("said")).unwrap();
    let environment: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [
        ("LVS_ADDRESS", "10.0.0.21"),
        ("LVS_PORT", "3306"),
        ("LVS_SERVICE", "sql"),
        ("LVS_SERVER", "r1"),
        ("groups", "54322"),
        ("session", "0"),
    ] {
        assert_eq!(environment.get(name), Some(&value), "{said}");
    }
    // What a shell sets by itself, and nothing of ours.
    let ours = ["LVS_ADDRESS", "LVS_PORT", "LVS_SERVICE", "LVS_SERVER", "PATH", "groups", "session"];
    let others: Vec<_> = environment.keys().filter(|name| !ours.contains(name)).collect();
    assert!(others.iter().all(|name| ["PWD", "OLDPWD", "SHLVL", "_"].contains(name)), "{others:?}");
    for line in [
        "/",
        "Uid:\t54321\t54321\t54321\t54321",
        "Gid:\t54322\t54322\t54322\t54322",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} is not in:\n{said}");
    }
    assert!(!said.contains("socket:"), "{said}");
    drop(leak);
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_its_children() {
    let Some(mut bench) =
        bench(&[("hang", "sleep 1000 & echo $! >$1/child; echo $$ >$1/self; echo hanging; trap '' TERM; sleep 1000")])
    else {
        return;
    };
    let folder = bench.open_folder();
    let begun = Instant::now();
    let ended = bench.run_for("hang", &[&folder], Duration::from_millis(500)).await;
    assert_eq!(ended, (ScriptEnd::TimedOut, "hanging".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(500));
    for who in ["child", "self"] {
        let pid = fs::read_to_string(Path::new(&folder).join(who)).unwrap();
        until("its death", || !lives(&pid)).await;
    }
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_killed_and_does_not_delay_its_report() {
    let Some(mut bench) = bench(&[("leave", "sleep 1000 & echo $!; exit 0")]) else { return };
    let (ended, child) = bench.run("leave", &[]).await;
    assert_eq!(ended, ScriptEnd::Exited(0));
    assert!(child.parse::<u32>().is_ok(), "{child}");
    until("its death", || !lives(&child)).await;
}

#[tokio::test]
async fn a_flood_of_output_is_read_and_thrown_away() {
    let Some(mut bench) = bench(&[("much", "echo first; head -c 5000000 /dev/zero; exit 1"), ("endless", "exec yes")]) else {
        return;
    };
    assert_eq!(bench.run("much", &[]).await, (ScriptEnd::Exited(1), "first".to_owned()));
    assert_eq!(bench.run_for("endless", &[], Duration::from_millis(300)).await, (ScriptEnd::TimedOut, "y".to_owned()));
}

#[tokio::test]
async fn a_script_that_cannot_be_run_is_unable_and_why_is_said() {
    let Some(mut bench) = bench(&[("interpreter", "")]) else { return };
    bench.scratch.write("interpreter", "#!/no/such/program\n");
    for (script, args, said) in [
        ("missing", &[][..], "put the script there"),
        ("interpreter", &[], "names an interpreter in its first line that is not there"),
        ("interpreter", &["a\nb"], "is none that a cluster file can lead to"),
    ] {
        match bench.run(script, args).await {
            (ScriptEnd::Unable(why), line) => assert!(why.contains(said) && line.is_empty(), "{why}"),
            other => panic!("{script}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_more_scripts_than_allowed_are_under_way_and_all_die_with_the_runner() {
    let Some(mut bench) = bench(&[("wait", "echo $$ >$1/$$; exec sleep 1000"), ("good", "exit 0")]) else { return };
    let folder = bench.open_folder();
    for _ in 0..MAX_UNDER_WAY {
        bench.order("wait", &[&folder], Duration::from_secs(600)).await;
    }
    let pids =
        || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    until("that all run", || pids().len() == MAX_UNDER_WAY).await;
    let (ended, _) = bench.run("good", &[]).await;
    assert_eq!(ended, ScriptEnd::NotNow("64 scripts are under way on this node".to_owned()));
    let pids = pids();
    assert!(pids.iter().all(|pid| lives(pid)));
    bench.runner.abort();
    until("their deaths", || !pids.iter().any(|pid| lives(pid))).await;
}
