//! The worker's side of the script runner: sends requests, and gives each report to the probe that waits for it.

use super::{
    deadline::ProbeFault,
    packets::{PacketError, Packets, is_packet_socket},
};
use crate::{
    base::io::inherit::{self, NotInherited},
    health::{
        hysteresis::Grade,
        script::{GONE, MAX_REPORT_BYTES, MAX_RUN_BYTES, OFF, RunId, ScriptEnd, ScriptReport, ScriptRun, ScriptSubject, judged},
        track::Look,
    },
    model::{ScriptName, TrackName},
    rules::Target,
    tasks::Tasks,
};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;

/// The environment variable with the number of the worker's end of the runner's socketpair. Without it there are no script checks on this node.
pub const RUNNER_FD: &str = "LVS_AGENT_RUNNER_FD";

/// The runner kills a script at its timeout and reports that at once. If no report has come so long after the timeout, the runner hangs.
const GRACE: Duration = Duration::from_secs(5);

/// Why the socket to the script runner cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunnerChannelError {
    /// What the environment names is no such socket.
    #[error("{RUNNER_FD} names no socket: the worker is started by `lvs-agent run`, not by hand")]
    NotASocket,
    /// The socket failed.
    #[error("cannot use the socket to the script runner")]
    Socket(#[source] io::Error),
}

/// The connection to the script runner. Clones share it.
#[derive(Clone, Debug)]
pub struct ScriptRunner(Option<Arc<RunnerSocket>>);

#[derive(Debug)]
struct RunnerSocket {
    packets: Packets,
    life: u64,
    waiting: Mutex<PendingReports>,
}

#[derive(Debug)]
enum PendingReports {
    /// The senders of reports that are waited for, by the number of the run; at most one for each probe under way.
    For { next: u64, reports: HashMap<u64, oneshot::Sender<ScriptReport>> },
    /// No more reports will come.
    RunnerGone,
}

impl ScriptRunner {
    /// This node runs no scripts.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Takes the socket that this process inherited, if there is one, and serves it on the current runtime. Call it once, before anything else opens
    /// files.
    ///
    /// # Errors
    /// The socket that the environment names cannot be used.
    pub fn from_inherited(tasks: &Tasks, stop: &CancellationToken) -> Result<Self, RunnerChannelError> {
        match inherit::take(RUNNER_FD) {
            Err(NotInherited::NotThere) => Ok(Self::off()),
            Err(NotInherited::Unusable) => Err(RunnerChannelError::NotASocket),
            Ok(fd) if is_packet_socket(&fd) => Self::serve(fd, tasks, stop).map_err(RunnerChannelError::Socket),
            Ok(_) => Err(RunnerChannelError::NotASocket),
        }
    }

    /// The same over any end of a pair.
    ///
    /// # Errors
    /// The system's.
    pub fn serve(fd: OwnedFd, tasks: &Tasks, stop: &CancellationToken) -> io::Result<Self> {
        let waiting = Mutex::new(PendingReports::For { next: 0, reports: HashMap::new() });
        let line = Arc::new(RunnerSocket { packets: Packets::new(fd)?, life: rand::random(), waiting });
        let (reading, stopped) = (line.clone(), stop.clone());
        tasks.spawn("script reports", stop, async move {
            read_reports(reading).await;
            // The runner is gone, and a restart of the worker would not bring it back. Probes by script fail from now on.
            stopped.cancelled().await;
        });
        Ok(Self(Some(line)))
    }

    /// Probes `target` with `script`. Ends within `limit` and [`GRACE`].
    pub(super) async fn probe(
        &self,
        target: &Target,
        address: SocketAddr,
        script: &ScriptName,
        args: &[String],
        limit: Duration,
    ) -> Result<String, ProbeFault> {
        let Target { service, server } = target.clone();
        match self.judged(ScriptSubject::Server { address, service, server }, script, args, limit).await {
            (Grade::Passed, what) => Ok(what),
            (grade @ (Grade::Failed | Grade::NotAsked | Grade::Unable), what) => Err(ProbeFault { grade, what }),
        }
    }

    /// Has `script` look at this node for `track`. A script that cannot be run has not passed. Ends within `limit` and [`GRACE`].
    pub(super) async fn track(&self, track: &TrackName, script: &ScriptName, args: &[String], limit: Duration) -> Look {
        match self.judged(ScriptSubject::Track(track.clone()), script, args, limit).await {
            (Grade::Passed, _) => Look::Passed,
            (Grade::NotAsked, _) => Look::NotAsked,
            (Grade::Failed | Grade::Unable, why) => Look::Failed(why),
        }
    }

    async fn judged(&self, subject: ScriptSubject, script: &ScriptName, args: &[String], limit: Duration) -> (Grade, String) {
        let Some(line) = &self.0 else { return (Grade::Unable, OFF.to_owned()) };
        let (script, args) = (script.clone(), args.to_vec());
        let order = |id| ScriptRun { id, script, args, timeout: limit, subject };
        let ScriptReport { ended, line, .. } = line.run(order, limit).await;
        judged(ended, &line, limit)
    }
}

impl RunnerSocket {
    async fn run(&self, order: impl FnOnce(RunId) -> ScriptRun, limit: Duration) -> ScriptReport {
        let without = |id, ended| ScriptReport { id, ended, line: String::new() };
        let Some(mut awaited) = self.register() else {
            return without(RunId { life: self.life, number: 0 }, ScriptEnd::Unable(GONE.to_owned()));
        };
        let id = RunId { life: self.life, number: awaited.number };
        let exchange = async {
            match self.packets.send(&order(id), MAX_RUN_BYTES).await {
                Ok(()) => (&mut awaited.report).await.unwrap_or_else(|_| without(id, ScriptEnd::Unable(GONE.to_owned()))),
                Err(PacketError::Socket(_)) => without(id, ScriptEnd::Unable(GONE.to_owned())),
                Err(error @ PacketError::Codec(_)) => without(id, ScriptEnd::Unable(error.to_string())),
            }
        };
        let hangs = || without(id, ScriptEnd::Unable("the script runner does not answer: restart the agent".to_owned()));
        timeout(limit + GRACE, exchange).await.unwrap_or_else(|_| hangs())
    }

    /// Registers a run, whose report can be waited for then; `None` if the runner is gone.
    fn register(&self) -> Option<AwaitedReport<'_>> {
        match &mut *self.waiting.lock().expect("no holder of this lock panics") {
            PendingReports::RunnerGone => None,
            PendingReports::For { next, reports } => {
                let (sender, report) = oneshot::channel();
                *next += 1;
                reports.insert(*next, sender);
                Some(AwaitedReport { line: self, number: *next, report })
            }
        }
    }

    fn deliver(&self, report: ScriptReport) {
        // It is for an earlier worker.
        if report.id.life != self.life {
            return;
        }
        if let PendingReports::For { reports, .. } = &mut *self.waiting.lock().expect("no holder of this lock panics")
            && let Some(asker) = reports.remove(&report.id.number)
        {
            // The probe may have ended meanwhile.
            let _ = asker.send(report);
        }
    }
}

/// A run whose report is waited for. Dropping it ends the waiting.
struct AwaitedReport<'a> {
    line: &'a RunnerSocket,
    number: u64,
    report: oneshot::Receiver<ScriptReport>,
}

impl Drop for AwaitedReport<'_> {
    fn drop(&mut self) {
        if let PendingReports::For { reports, .. } = &mut *self.line.waiting.lock().expect("no holder of this lock panics") {
            reports.remove(&self.number);
        }
    }
}

async fn read_reports(line: Arc<RunnerSocket>) {
    loop {
        match line.packets.receive::<ScriptReport>(MAX_REPORT_BYTES).await {
            Ok(Some(report)) => line.deliver(report),
            Err(error @ PacketError::Codec(_)) => tracing::warn!(%error, "message of the script runner is not understood"),
            Ok(None) => break tracing::error!("the script runner is gone, no script check is run here: restart the agent"),
            Err(PacketError::Socket(error)) => {
                break tracing::error!(%error, "cannot read from the script runner, no script check is run here: restart the agent");
            }
        }
    }
    // Dropping the senders tells all probes that wait.
    *line.waiting.lock().expect("no holder of this lock panics") = PendingReports::RunnerGone;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::io::packets;

    fn runner() -> (ScriptRunner, Packets) {
        let (worker, runner) = packets::pair().unwrap();
        (ScriptRunner::serve(worker, &Tasks::default(), &CancellationToken::new()).unwrap(), Packets::new(runner).unwrap())
    }

    fn asked(scripts: &ScriptRunner, script: &str) -> tokio::task::JoinHandle<Result<String, ProbeFault>> {
        let (scripts, script) = (scripts.clone(), script.parse().unwrap());
        tokio::spawn(async move {
            let target = Target { service: "sql".parse().unwrap(), server: "r1".parse().unwrap() };
            scripts.probe(&target, "10.0.0.21:3306".parse().unwrap(), &script, &[], Duration::from_secs(1)).await
        })
    }

    async fn order(runner: &Packets) -> ScriptRun {
        runner.receive(MAX_RUN_BYTES).await.unwrap().unwrap()
    }

    async fn report(runner: &Packets, id: RunId, code: i32, line: &str) {
        let report = ScriptReport { id, ended: ScriptEnd::Exited(code), line: line.to_owned() };
        runner.send(&report, MAX_REPORT_BYTES).await.unwrap();
    }

    fn unable(why: &str) -> Result<String, ProbeFault> {
        Err(ProbeFault { grade: Grade::Unable, what: why.to_owned() })
    }

    #[tokio::test]
    async fn reports_find_their_askers_in_any_order_and_those_of_another_life_none() {
        let (scripts, runner) = runner();
        let first = asked(&scripts, "a");
        let a = order(&runner).await;
        let second = asked(&scripts, "b");
        let b = order(&runner).await;
        let (address, service, server) = ("10.0.0.21:3306".parse().unwrap(), "sql".parse().unwrap(), "r1".parse().unwrap());
        assert_eq!((a.script.as_str(), a.subject), ("a", ScriptSubject::Server { address, service, server }));
        report(&runner, RunId { life: a.id.life.wrapping_add(1), ..a.id }, 9, "a former worker's").await;
        report(&runner, b.id, 0, "").await;
        report(&runner, a.id, 2, "no").await;
        assert_eq!(second.await.unwrap(), Ok("exit 0".to_owned()));
        assert_eq!(first.await.unwrap(), Err(ProbeFault::failed("exit 2: no")));
    }

    #[tokio::test]
    async fn a_runner_that_goes_is_told_to_who_waits_and_to_who_asks_later() {
        let (scripts, runner) = runner();
        let waiting = asked(&scripts, "a");
        order(&runner).await;
        drop(runner);
        assert_eq!(waiting.await.unwrap(), unable(GONE));
        assert_eq!(asked(&scripts, "a").await.unwrap(), unable(GONE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_runner_that_hangs_is_not_waited_for() {
        let (scripts, _runner) = runner();
        assert_eq!(asked(&scripts, "a").await.unwrap(), unable("the script runner does not answer: restart the agent"));
        let Some(line) = &scripts.0 else { panic!("it is served") };
        assert!(matches!(&*line.waiting.lock().unwrap(), PendingReports::For { reports, .. } if reports.is_empty()));
    }

    #[tokio::test]
    async fn without_a_runner_script_checks_are_off() {
        assert_eq!(asked(&ScriptRunner::off(), "a").await.unwrap(), unable(OFF));
    }
}
