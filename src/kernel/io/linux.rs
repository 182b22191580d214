//! The data plane on Linux: IPVS, addresses on `lo` and sysctls of the agent's network namespace.

use super::{
    address::{AddressError, Addresses, LOOPBACK},
    ipvs::Ipvs,
    sysctl::Sysctls,
};
use crate::base::errors::with_sources;
use crate::kernel::{DataPlane, DataPlaneError, IpvsUse, KernelState, Step, StepError, StepFailure, data_plane::voided};
use std::{collections::BTreeSet, net::IpAddr, path::Path};

/// A [`DataPlane`] on Linux.
pub struct Linux {
    ipvs: Ipvs,
    addresses: Addresses,
    arp: Sysctls,
    ipvs_sysctls: Sysctls,
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
        })
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
            Step::SilenceArp => self.arp.enforce().map_err(|error| unchanged(&error)),
            Step::RestoreArp => self.arp.restore().map_err(|error| unchanged(&error)),
            Step::TuneIpvs => self.ipvs_sysctls.enforce().map_err(|error| unchanged(&error)),
            Step::RestoreIpvs => self.ipvs_sysctls.restore().map_err(|error| unchanged(&error)),
            Step::AddLoVip(address) => self.addresses.install(LOOPBACK, *address, None).await.map_err(|error| unchanged(&error)),
            Step::RemoveLoVip(address) => self.addresses.remove(LOOPBACK, *address).await.map_err(|error| unchanged(&error)),
            Step::RemoveService(_)
            | Step::AddService(..)
            | Step::EditService(..)
            | Step::AddDest(..)
            | Step::EditDest(..)
            | Step::RemoveDest(..) => Err(StepError::Failed("an ipvs step outside of a pipeline".to_owned())),
        }
    }
}

impl DataPlane for Linux {
    async fn observe(&mut self, ipvs: IpvsUse) -> Result<KernelState, DataPlaneError> {
        let (services, fwmark_services) = self.ipvs.read(ipvs).await?;
        let lo_addresses = self.lo_addresses().await.map_err(DataPlaneError::Addresses)?;
        let (arp, ipvs) = (self.arp.state()?, self.ipvs_sysctls.state()?);
        Ok(KernelState { services, fwmark_services, lo_addresses, arp, ipvs })
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
