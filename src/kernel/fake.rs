//! A data plane in memory, which refuses what the kernel refuses.

use super::{
    data_plane::{DataPlane, DataPlaneError, IpvsUse, StepError, StepFailure, voided},
    state::{Dest, IpvsService, KernelState, ServiceKey, SysctlState},
    step::{IpvsStep, LoStep, Step, SysctlStep},
};
use crate::model::Scheduler;
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// A kernel in memory. Clones share it, so that a test can read and edit it while a task uses another clone.
#[derive(Clone, Debug, Default)]
pub struct FakeDataPlane(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    state: KernelState,
    /// Steps done so far.
    done: Vec<Step>,
    /// Steps that fail whatever the state.
    broken: Vec<Step>,
    /// Observing fails.
    blind: bool,
    /// Observing fails where IPVS is wanted.
    lacks_ipvs: bool,
    looks: u64,
    /// What was last observed.
    observed: Option<KernelState>,
    quick_looks: u64,
    /// How long observing takes.
    slowness: Duration,
}

impl FakeDataPlane {
    /// A kernel with this state.
    pub fn holding(state: KernelState) -> Self {
        let fake = Self::default();
        fake.edit(|kernel| *kernel = state);
        fake
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// The present state.
    pub fn state(&self) -> KernelState {
        self.lock().state.clone()
    }

    /// Changes the state without a step, as another program would.
    pub fn edit(&self, change: impl FnOnce(&mut KernelState)) {
        change(&mut self.lock().state);
    }

    /// Every step that was done since the last call.
    pub fn take_done(&self) -> Vec<Step> {
        std::mem::take(&mut self.lock().done)
    }

    /// How often it was observed.
    pub fn looks(&self) -> u64 {
        self.lock().looks
    }

    /// How often it was looked at quickly.
    pub fn quick_looks(&self) -> u64 {
        self.lock().quick_looks
    }

    /// From now on observing takes so long.
    pub fn set_slowness(&self, slowness: Duration) {
        self.lock().slowness = slowness;
    }

    /// From now on exactly these steps fail.
    pub fn break_steps(&self, steps: Vec<Step>) {
        self.lock().broken = steps;
    }

    /// A kernel without IPVS.
    pub fn without_ipvs() -> Self {
        let fake = Self::default();
        fake.lock().lacks_ipvs = true;
        fake
    }

    /// Whether observing fails from now on.
    pub fn set_blind(&self, blind: bool) {
        self.lock().blind = blind;
    }
}

impl DataPlane for FakeDataPlane {
    async fn observe(&mut self, ipvs: IpvsUse) -> Result<KernelState, DataPlaneError> {
        let slowness = self.lock().slowness;
        if slowness > Duration::ZERO {
            tokio::time::sleep(slowness).await;
        }
        let mut inner = self.lock();
        inner.looks += 1;
        if inner.lacks_ipvs && ipvs == IpvsUse::Required {
            return Err(DataPlaneError::NoIpvs { modprobe: "not found".to_owned() });
        }
        if inner.blind {
            return Err(DataPlaneError::Malformed("the fake is blind"));
        }
        inner.observed = Some(inner.state.clone());
        Ok(inner.state.clone())
    }

    async fn is_as_observed(&mut self) -> bool {
        let mut inner = self.lock();
        inner.quick_looks += 1;
        !inner.blind && inner.observed.as_ref() == Some(&inner.state)
    }

    async fn execute(&mut self, steps: &[Step]) -> Vec<StepFailure> {
        let mut inner = self.lock();
        let mut failures = Vec::new();
        for step in steps {
            if let Some(failure) = voided(step, &failures) {
                failures.push(failure);
            } else if inner.broken.contains(step) {
                failures.push(StepFailure { step: step.clone(), error: StepError::Failed("broken by the test".to_owned()) });
            } else if let Err(errno) = perform(&mut inner.state, step) {
                let explained = std::io::Error::from_raw_os_error(errno).to_string();
                failures.push(StepFailure { step: step.clone(), error: StepError::Refused { errno, explained } });
            } else {
                inner.done.push(step.clone());
            }
        }
        failures
    }
}

/// `ip_vs_genl_set_cmd()` in `net/netfilter/ipvs/ip_vs_ctl.c`, as far as its error numbers go.
fn perform(kernel: &mut KernelState, step: &Step) -> Result<(), i32> {
    match step {
        Step::Ipvs(IpvsStep::AddService(key, options)) => {
            if kernel.services.contains_key(key) {
                return Err(libc::EEXIST);
            }
            known_scheduler(&options.scheduler)?;
            kernel.services.insert(*key, IpvsService { options: options.clone(), dests: [].into() });
        }
        Step::Ipvs(IpvsStep::EditService(key, options)) => {
            let service = service(kernel, key)?;
            known_scheduler(&options.scheduler)?;
            service.options = options.clone();
        }
        Step::Ipvs(IpvsStep::RemoveService(key)) => {
            kernel.services.remove(key).ok_or(libc::ESRCH)?;
        }
        Step::Ipvs(IpvsStep::AddDest(key, dest, to)) => {
            let service = service(kernel, key)?;
            legal_dest(to)?;
            if service.dests.contains_key(dest) {
                return Err(libc::EEXIST);
            }
            service.dests.insert(*dest, *to);
        }
        Step::Ipvs(IpvsStep::EditDest(key, dest, to)) => {
            let service = service(kernel, key)?;
            legal_dest(to)?;
            *service.dests.get_mut(dest).ok_or(libc::ENOENT)? = *to;
        }
        Step::Ipvs(IpvsStep::RemoveDest(key, dest, _)) => {
            service(kernel, key)?.dests.remove(dest).ok_or(libc::ENOENT)?;
        }
        Step::Sysctl(SysctlStep::SilenceArp) => enforce(&mut kernel.arp),
        Step::Sysctl(SysctlStep::RestoreArp) => restore(&mut kernel.arp),
        Step::Sysctl(SysctlStep::TuneIpvs) => enforce(&mut kernel.ipvs),
        Step::Sysctl(SysctlStep::RestoreIpvs) => restore(&mut kernel.ipvs),
        Step::Lo(LoStep::Add(address)) => {
            kernel.lo_addresses.insert(*address);
        }
        Step::Lo(LoStep::Remove(address)) => {
            kernel.lo_addresses.remove(address);
        }
    }
    Ok(())
}

fn enforce(sysctls: &mut SysctlState) {
    sysctls.former_kept |= !sysctls.in_force;
    sysctls.in_force = true;
}

fn restore(sysctls: &mut SysctlState) {
    sysctls.in_force &= !sysctls.former_kept;
    sysctls.former_kept = false;
}

fn service<'a>(kernel: &'a mut KernelState, key: &ServiceKey) -> Result<&'a mut IpvsService, i32> {
    kernel.services.get_mut(key).ok_or(libc::ESRCH)
}

fn known_scheduler(name: &str) -> Result<(), i32> {
    name.parse::<Scheduler>().map(|_| ()).map_err(|_| libc::ENOENT)
}

fn legal_dest(dest: &Dest) -> Result<(), i32> {
    let legal = dest.lower_threshold <= dest.upper_threshold && i32::try_from(dest.weight).is_ok();
    legal.then_some(()).ok_or(libc::ERANGE)
}
