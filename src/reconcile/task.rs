//! The loop: look at the kernel, decide, change it, report. At every change of the inputs, and every half second, since IPVS does not tell of
//! changes that others make. Where reading all of it is dear, a quick look does in between.

use super::{
    OwnedVips, ReconcileInputs, ReconcileReport,
    desired::{Decision, Desired, DesiredInput, OutReason, Presence, VipsReady, desired},
    plan::{foreign, found, plan},
    unprogrammed::unprogrammed,
};
use crate::{
    base::errors::with_sources,
    clock::{BootInstant, Clock},
    kernel::{DataPlane, DataPlaneError, IpvsUse, KernelState, LoStep, Step, StepError, StepFailure, SysctlStep},
    model::Role,
    repeats::Repeats,
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// A change by somebody else is found and put back within this time.
pub const RESYNC: Duration = Duration::from_millis(500);
/// While nothing changes, reading the whole kernel may take this part of the time, and quick looks twice that.
const SHARE: u32 = 100;
/// However long it takes, the whole kernel is read that often: a quick look does not see everything.
const WHOLE_MOST: Duration = Duration::from_secs(30);
/// From the beginning of one pass to that of the next at least: a burst of changes is taken together. The first change of a burst does not wait.
const PASS_GAP: Duration = Duration::from_millis(20);
/// After a failed step: the first retry. Later ones wait longer, but never longer than [`RESYNC`], since other things may need to be put back.
const RETRY: Duration = Duration::from_millis(100);
/// While the kernel cannot be read at all, nothing can be done: the longest wait.
const BLIND_RETRY_MOST: Duration = Duration::from_secs(5);
/// A director stays ready through so many failed passes in a row: a lost race with a hand edit moves no VIP.
const PASSES_TO_UNREADY: u32 = 3;
/// Lines of drift in the log of one pass: somebody who flushes a thousand services gets a count.
const DRIFT_LINES: usize = 20;

/// Keeps the kernel as the inputs want it until cancelled; then stops without touching it. Returns also when the inputs' sender is gone.
pub async fn run<P: DataPlane, C: Clock>(
    plane: P,
    owned: OwnedVips,
    mut inputs: watch::Receiver<ReconcileInputs>,
    report: watch::Sender<ReconcileReport>,
    clock: C,
    cancel: CancellationToken,
) {
    let mut reconciler = Reconciler::new(plane, owned);
    // With which inputs nothing was to be done, and until when a quick look does if it finds nothing new.
    let mut rest: Option<(ReconcileInputs, BootInstant)> = None;
    loop {
        let current = inputs.borrow_and_update().clone();
        let begun = clock.now();
        // Not cancelled in the middle: every wait within has a deadline.
        let next = if !may_act(&current) {
            RESYNC
        } else if rest.as_ref().is_some_and(|(of, end)| *of == current && begun < *end) && reconciler.plane.is_as_observed().await
        {
            RESYNC.max(clock.now().saturating_since(begun) * (SHARE / 2))
        } else {
            let next = reconciler.pass(&current, begun).await;
            let took = clock.now().saturating_since(begun);
            rest = reconciler.is_at_rest().then(|| (current, begun + (took * SHARE).min(WHOLE_MOST)));
            next
        };
        report.send_if_modified(|last| std::mem::replace(last, reconciler.report.clone()) != reconciler.report);
        let gap = PASS_GAP.max(clock.now().saturating_since(begun)); // at most half of the time is spent on passes
        // Every arm is cancel-safe: a change that is not seen now is seen by the next `changed`.
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = inputs.changed() => if changed.is_err() { return },
            () = sleep(next) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = sleep(gap.saturating_sub(clock.now().saturating_since(begun))) => {}
        }
    }
}

/// Nothing is done before the replicated state is known, or without a cluster: an empty rule set must come from the cluster, not from a lack of
/// knowledge.
fn may_act(inputs: &ReconcileInputs) -> bool {
    inputs.loaded && !inputs.state.cluster_id.is_empty()
}

/// Why not all was taken away.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The kernel could not be read.
    #[error("cannot see what to take away")]
    Look(#[from] DataPlaneError),
    /// Steps failed.
    #[error("{} of our entries stay in the kernel: {}", .0.len(), summary(.0))]
    Steps(Vec<StepFailure>),
}

/// For a node that leaves the cluster or is withdrawn: removes the cluster's services and VIPs from its kernel and puts the former sysctls back.
/// Whatever belongs to others stays. How many steps that took.
///
/// # Errors
/// What is left; calling again tries again.
pub async fn withdraw<P: DataPlane>(plane: &mut P, owned: &mut OwnedVips) -> Result<usize, WithdrawError> {
    let observed = plane.observe(IpvsUse::IfLoaded).await?;
    let steps = plan(&Desired::default(), &observed, owned.vips());
    let failures = plane.execute(&steps).await;
    if !failures.is_empty() {
        return Err(WithdrawError::Steps(failures));
    }
    info!(steps = steps.len(), "took the cluster's services and vips out of the kernel");
    owned.set(BTreeSet::new())?;
    Ok(steps.len())
}

struct Reconciler<P> {
    plane: P,
    owned: OwnedVips,
    report: ReconcileReport,
    /// What the kernel was brought to: a difference from it is somebody else's doing.
    settled: Option<Desired>,
    failed_passes: u32,
    /// The last pass had nothing to change.
    rested: bool,
    /// What is said of the kernel again and again.
    lines: Repeats<About>,
}

/// What a line is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    Trouble,
    Drift,
}

impl<P: DataPlane> Reconciler<P> {
    fn new(plane: P, owned: OwnedVips) -> Self {
        Self {
            plane,
            owned,
            report: ReconcileReport::default(),
            settled: None,
            failed_passes: 0,
            rested: false,
            lines: Repeats::default(),
        }
    }

    /// One pass. Says when the next is due if nothing changes until then.
    async fn pass(&mut self, inputs: &ReconcileInputs, now: BootInstant) -> Duration {
        let director = inputs.roles.has(Role::Director);
        // A cluster that has VIPs and no services needs no IPVS: its directors hold the VIPs on any kernel.
        let has_services = !inputs.state.rules.services.is_empty();
        let ipvs = if director && has_services { IpvsUse::Required } else { IpvsUse::IfLoaded };
        let observed = match self.plane.observe(ipvs).await {
            Ok(observed) => observed,
            Err(error) => return self.blind(&error, now),
        };
        let wanted = desired(&DesiredInput {
            roles: &inputs.roles,
            address: inputs.address,
            state: &inputs.state,
            in_place: &inputs.in_place,
            own: &inputs.own,
            ownership: &inputs.ownership,
            kept_whole: &inputs.kept_whole,
            observed: &observed,
        });
        let mut problems = Vec::new();
        let owned: BTreeSet<IpAddr> = self.owned.vips().union(&wanted.vips).copied().collect();
        // Before the first step that rests on it. A full disk is reported, but must not keep a dead server in.
        problems.extend(self.owned.set(owned.clone()).err().map(|error| with_sources(&error)));
        let steps = plan(&wanted, &observed, &owned);
        self.log(&wanted, &observed, &steps, now);
        self.rested = steps.is_empty();
        let failures = self.plane.execute(&steps).await;
        let after = if steps.is_empty() { Ok(observed) } else { self.plane.observe(ipvs).await };
        let after = match after {
            Ok(after) => after,
            Err(error) => return self.blind(&error, now),
        };
        problems.extend(self.forget_gone_vips(&wanted, &after).err().map(|error| with_sources(&error)));
        // What the kernel refuses, or what rests on that, breaks one service; the others are in place, and no director would do better.
        let lost = |failure: &StepFailure| !matches!(failure.error, StepError::Refused { .. } | StepError::Voided(_));
        let unready = failures.iter().any(|failure| failure.step.is_ipvs() && lost(failure));
        self.report.foreign = foreign(&wanted, &after, &owned);
        let lasts = self.failed_passes + 1 >= PASSES_TO_UNREADY;
        self.report.unprogrammed = if lasts { unprogrammed(&inputs.state, &wanted, &failures) } else { Default::default() };
        self.report.in_place = in_place(&wanted, &after, &failures);
        self.report.steps_last = if steps.is_empty() { self.report.steps_last } else { steps.len() };
        self.settled = failures.is_empty().then_some(wanted.clone());
        self.report.informed = is_informed(&wanted.decisions);
        self.report.decisions = wanted.decisions;
        if !failures.is_empty() {
            problems.push(summary(&failures));
        } else {
            self.report.applied_revision = inputs.state.revision;
        }
        self.conclude(problems, director, unready, now)
    }

    /// Whether the last pass found everything as it should be.
    fn is_at_rest(&self) -> bool {
        self.failed_passes == 0 && self.settled.is_some() && self.rested
    }

    /// The kernel could not be read. It forwards on as it is, so that readiness stays what it was; but one that has no IPVS forwards nothing, and there are services.
    fn blind(&mut self, error: &DataPlaneError, now: BootInstant) -> Duration {
        self.report.ready &= !matches!(error, DataPlaneError::NoIpvs { .. });
        (self.failed_passes, self.rested) = (self.failed_passes.saturating_add(1), false);
        self.tell(Some(with_sources(error)), now);
        back_off(self.failed_passes).min(BLIND_RETRY_MOST)
    }

    fn conclude(&mut self, problems: Vec<String>, director: bool, unready: bool, now: BootInstant) -> Duration {
        self.failed_passes = if problems.is_empty() { 0 } else { self.failed_passes.saturating_add(1) };
        let tolerated = self.report.ready && self.failed_passes < PASSES_TO_UNREADY;
        self.report.ready = director && (!unready || tolerated);
        self.tell((!problems.is_empty()).then(|| problems.join("; ")), now);
        if self.failed_passes == 0 { RESYNC } else { back_off(self.failed_passes).min(RESYNC) }
    }

    /// Logs a problem when it comes, changes, lasts, or goes; one that comes and goes all the time once a minute.
    fn tell(&mut self, error: Option<String>, now: BootInstant) {
        let line = error.as_deref().unwrap_or_default();
        let news = error.is_some() || self.report.error.is_some();
        let due = news.then(|| self.lines.due(&About::Trouble, line, now)).flatten();
        match (&error, due) {
            (Some(error), Some(times)) => warn!(error, times, "the kernel is not as the rules want it, trying again"),
            (None, Some(times)) => info!(times, "the kernel is as the rules want it"),
            (_, None) => {}
        }
        self.report.error = error;
    }

    fn log(&mut self, wanted: &Desired, observed: &KernelState, steps: &[Step], now: BootInstant) {
        let same = |settled: &Desired| {
            settled.services == wanted.services && settled.lo_vips == wanted.lo_vips && settled.directs == wanted.directs
        };
        let drifted = !steps.is_empty() && self.settled.as_ref().is_some_and(same);
        let mut said = 0;
        if drifted {
            self.report.drifts += 1;
            // Another program that keeps changing the same is one line a minute.
            for step in steps.iter().take(DRIFT_LINES) {
                let found = found(step, observed);
                if let Some(times) = self.lines.due(&About::Drift, &format!("{step} {found}"), now) {
                    said += 1;
                    warn!(%step, found, times, "somebody else changed what is ours in the kernel, putting it back");
                }
            }
        }
        for step in steps {
            debug!(%step, "next step");
        }
        if !steps.is_empty() && (!drifted || said > 0) {
            info!(steps = steps.len(), drifted, "changing the kernel");
        }
    }

    /// An address that left the rules, and of which the kernel has no trace any more, is no longer ours.
    fn forget_gone_vips(&mut self, wanted: &Desired, after: &KernelState) -> Result<(), DataPlaneError> {
        let has_trace =
            |address: &IpAddr| after.lo_addresses.contains(address) || after.services.keys().any(|key| key.address == *address);
        let kept = self.owned.vips().iter().filter(|address| wanted.vips.contains(*address) || has_trace(address));
        let kept = kept.copied().collect();
        self.owned.set(kept)
    }
}

/// Whether a decision rests on what is known, or there is nothing to decide.
fn is_informed(decisions: &[Decision]) -> bool {
    let waits = |decision: &Decision| matches!(decision.presence, Presence::Out(OutReason::NotJudged | OutReason::NoWord(_)));
    decisions.is_empty() || !decisions.iter().all(waits)
}

/// What to say of the VIPs that this node serves.
fn in_place(wanted: &Desired, after: &KernelState, failures: &[StepFailure]) -> VipsReady {
    let stands = |addresses: &BTreeSet<IpAddr>| {
        if addresses.is_subset(&after.lo_addresses) && after.arp.in_force {
            return Ok(());
        }
        let why = failures
            .iter()
            .find(|failure| matches!(failure.step, Step::Sysctl(SysctlStep::SilenceArp) | Step::Lo(LoStep::Add(_))));
        Err(why.map_or_else(|| "not yet on lo with arp silenced".to_owned(), ToString::to_string))
    };
    let word = |serves: &Result<BTreeSet<IpAddr>, String>| serves.as_ref().map_err(Clone::clone).and_then(stands);
    wanted.serves.iter().map(|(vip, serves)| (vip.clone(), word(serves))).collect()
}

fn back_off(failed_passes: u32) -> Duration {
    RETRY * 2_u32.pow(failed_passes.saturating_sub(1).min(10))
}

/// The first failure and how many more there are.
fn summary(failures: &[StepFailure]) -> String {
    match failures {
        [] => "nothing failed".to_owned(),
        [only] => only.to_string(),
        [first, more @ ..] => format!("{first}, and {} more steps failed", more.len()),
    }
}

#[cfg(test)]
mod tests;
