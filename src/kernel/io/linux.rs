//! The data plane on Linux: IPVS, addresses on `lo` and sysctls of the agent's network namespace.

use super::{
    address::{AddressError, Addresses, LOOPBACK},
    ipvs::{Ipvs, PROC_FILE, summary},
    sysctl::Sysctls,
};
use crate::base::errors::with_sources;
use crate::kernel::{
    DataPlane, DataPlaneError, IpvsStep, IpvsUse, KernelState, LoStep, Step, StepError, StepFailure, SysctlState, SysctlStep,
    data_plane::voided,
};
use std::{collections::BTreeSet, net::IpAddr, path::Path};

/// From so many services and destinations on, a quick look is worth the reading that it needs at every whole one.
const LARGE: usize = 500;

/// A [`DataPlane`] on Linux.
pub struct Linux {
    ipvs: Ipvs,
    addresses: Addresses,
    arp: Sysctls,
    ipvs_sysctls: Sysctls,
    /// The tables were large when they were last read.
    is_large: bool,
    /// What a quick look found just before the last whole one began.
    quick: Option<Quick>,
}

/// What a quick look sees.
#[derive(PartialEq)]
struct Quick {
    tables: Option<u64>,
    lo_addresses: BTreeSet<IpAddr>,
    arp: SysctlState,
    ipvs: SysctlState,
}

impl Linux {
    /// Opens the network namespace of the calling thread. Former settings are saved in `data_dir`, which must exist. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// The netlink socket could not be opened.
    pub fn open(data_dir: &Path) -> Result<Self, AddressError> {
        Ok(Self {
            ipvs: Ipvs::default(),
            addresses: Addresses::open()?,
            arp: Sysctls::arp(data_dir),
            ipvs_sysctls: Sysctls::ipvs(data_dir),
            is_large: false,
            quick: None,
        })
    }

    async fn look_quickly(&self) -> Result<Quick, DataPlaneError> {
        let file = Path::new(PROC_FILE);
        let tables = summary(file).await;
        let tables = tables.map_err(|source| DataPlaneError::File { doing: "read", path: file.to_owned(), source })?;
        let lo_addresses = self.lo_addresses().await.map_err(DataPlaneError::Addresses)?;
        Ok(Quick { tables, lo_addresses, arp: self.arp.state()?, ipvs: self.ipvs_sysctls.state()? })
    }

    async fn lo_addresses(&self) -> Result<BTreeSet<IpAddr>, AddressError> {
        let host_prefix = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let listed = self.addresses.list().await?.into_iter();
        let on_lo =
            listed.filter(|installed| installed.interface == LOOPBACK && installed.prefix == host_prefix(installed.address));
        Ok(on_lo.map(|installed| installed.address).filter(|address| !address.is_loopback()).collect())
    }

    /// Carries out a step that is not one of IPVS.
    async fn perform(&self, step: &Step) -> Result<(), StepError> {
        let unchanged = |error: &dyn std::error::Error| StepError::Failed(with_sources(error));
        match step {
            Step::Sysctl(SysctlStep::SilenceArp) => self.arp.enforce().map_err(|error| unchanged(&error)),
            Step::Sysctl(SysctlStep::RestoreArp) => self.arp.restore().map_err(|error| unchanged(&error)),
            Step::Sysctl(SysctlStep::TuneIpvs) => self.ipvs_sysctls.enforce().map_err(|error| unchanged(&error)),
            Step::Sysctl(SysctlStep::RestoreIpvs) => self.ipvs_sysctls.restore().map_err(|error| unchanged(&error)),
            Step::Lo(LoStep::Add(address)) => {
                self.addresses.install(LOOPBACK, *address, None).await.map_err(|error| unchanged(&error))
            }
            Step::Lo(LoStep::Remove(address)) => {
                self.addresses.remove(LOOPBACK, *address).await.map_err(|error| unchanged(&error))
            }
            Step::Ipvs(IpvsStep::RemoveService(_))
            | Step::Ipvs(IpvsStep::AddService(..))
            | Step::Ipvs(IpvsStep::EditService(..))
            | Step::Ipvs(IpvsStep::AddDest(..))
            | Step::Ipvs(IpvsStep::EditDest(..))
            | Step::Ipvs(IpvsStep::RemoveDest(..)) => Err(StepError::Failed("an ipvs step outside of a pipeline".to_owned())),
        }
    }
}

impl DataPlane for Linux {
    async fn observe(&mut self, ipvs: IpvsUse) -> Result<KernelState, DataPlaneError> {
        self.quick = None;
        // Before the whole look: what changes in between is seen by that and differs at the next quick one, which then is in doubt for nothing.
        let quick = if self.is_large { self.look_quickly().await.ok() } else { None };
        let (services, fwmark_services) = self.ipvs.read(ipvs).await?;
        self.is_large = services.len() + services.values().map(|service| service.dests.len()).sum::<usize>() >= LARGE;
        let lo_addresses = self.lo_addresses().await.map_err(DataPlaneError::Addresses)?;
        let (arp, ipvs) = (self.arp.state()?, self.ipvs_sysctls.state()?);
        self.quick = quick;
        Ok(KernelState { services, fwmark_services, lo_addresses, arp, ipvs })
    }

    async fn is_as_observed(&mut self) -> bool {
        match &self.quick {
            Some(observed) => self.look_quickly().await.is_ok_and(|now| now == *observed),
            None => false,
        }
    }

    async fn execute(&mut self, steps: &[Step]) -> Vec<StepFailure> {
        let mut failures = Vec::new();
        // Consecutive IPVS steps are sent in one pipeline; the others are few.
        for run in steps.chunk_by(|one, next| one.is_ipvs() && next.is_ipvs()) {
            match run {
                [step] if !step.is_ipvs() => {
                    if let Some(failure) = voided(step, &failures) {
                        failures.push(failure);
                    } else if let Err(error) = self.perform(step).await {
                        failures.push(StepFailure { step: step.clone(), error });
                    }
                }
                run => failures.extend(self.ipvs.change(run).await),
            }
        }
        failures
    }
}

/// What this kernel's IPVS is, for example `ip_vs 1.2.1 4096` (version, and buckets of the connection table). Empty where IPVS is not loaded.
pub async fn capabilities() -> Vec<String> {
    let Ok(Some(info)) = Ipvs::default().info().await else { return Vec::new() };
    let [_, major, minor, patch] = info.version.to_be_bytes();
    vec![format!("ip_vs {major}.{minor}.{patch} {}", info.table_size)]
}
