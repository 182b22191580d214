//! Calls of the IPVS family: finds the family, reads the tables, carries out steps.

use super::{
    frame::KernelRefusal,
    socket::{Dumped, RequestResult, Socket},
    wire::{self, Listed},
};
use crate::base::errors::with_sources;
use crate::kernel::{DataPlaneError, IpvsService, IpvsStep, IpvsUse, ServiceKey, Step, StepError, StepFailure};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// How often a table that changes meanwhile is read again.
const DUMP_ATTEMPTS: u32 = 5;
const MODPROBE_DEADLINE: Duration = Duration::from_secs(10);
/// Absolute paths instead of a search path, because the agent is root.
const MODPROBE_CANDIDATES: [&str; 2] = ["/sbin/modprobe", "/usr/sbin/modprobe"];
/// Exists in every network namespace once the module is loaded.
pub(crate) const PROC_FILE: &str = "/proc/net/ip_vs";

/// The IPVS of this network namespace.
#[derive(Default)]
pub struct Ipvs {
    /// An idle socket and the family's number. Taken out while in use: a cancelled or failed call leaves none behind.
    idle: Option<(Socket, u16)>,
    modprobe: Option<String>,
}

/// What the kernel says of its IPVS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpvsInfo {
    /// `NVERSION`: major, minor, patch in a byte each.
    pub version: u32,
    /// Buckets of the connection table.
    pub table_size: u32,
}

/// Services, and firewall marks of services.
type Tables = (BTreeMap<ServiceKey, IpvsService>, BTreeSet<u32>);

impl Ipvs {
    /// Version and table size; `None` where IPVS is not loaded.
    pub async fn info(&mut self) -> Result<Option<IpvsInfo>, DataPlaneError> {
        let Some((mut socket, family)) = self.connect(IpvsUse::IfLoaded).await? else { return Ok(None) };
        let answer = socket.ask(&wire::get_info(family), wire::read_info).await?;
        let (version, table_size) =
            answer.map_err(refused("ask for the version"))?.ok_or(DataPlaneError::Malformed("no version"))?;
        self.idle = Some((socket, family));
        Ok(Some(IpvsInfo { version, table_size }))
    }

    /// Reads all services with their destinations.
    pub async fn read(&mut self, ipvs: IpvsUse) -> Result<Tables, DataPlaneError> {
        let Some((mut socket, family)) = self.connect(ipvs).await? else { return Ok(Tables::default()) };
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(tables) = read_tables(&mut socket, family).await? {
                self.idle = Some((socket, family));
                return Ok(tables);
            }
        }
        Err(DataPlaneError::Unsteady(DUMP_ATTEMPTS))
    }

    /// Carries out IPVS steps, in order, past failures.
    pub async fn change(&mut self, steps: &[Step]) -> Vec<StepFailure> {
        let (mut socket, family) = match self.connect(IpvsUse::Required).await {
            Ok(Some(connected)) => connected,
            Ok(None) => unreachable!("a required family is found or an error"),
            Err(error) => {
                let fail = |step: &Step| StepFailure { step: step.clone(), error: StepError::Failed(with_sources(&error)) };
                return steps.iter().map(fail).collect();
            }
        };
        let requests: Vec<Vec<_>> = steps.iter().map(|step| wire::change(family, step)).collect();
        let counts: Vec<usize> = requests.iter().map(Vec::len).collect();
        let requests: Vec<_> = requests.into_iter().flatten().collect();
        let mut answers = socket.pipeline(&requests).await.into_iter();
        let of_steps = steps.iter().zip(counts).map(|(step, count)| (step, answers.by_ref().take(count).collect()));
        let failures: Vec<StepFailure> = of_steps.filter_map(|(step, answers)| failure(step, answers)).collect();
        if !failures.iter().any(|failure| matches!(failure.error, StepError::Unanswered(_))) {
            self.idle = Some((socket, family));
        }
        failures
    }

    async fn connect(&mut self, ipvs: IpvsUse) -> Result<Option<(Socket, u16)>, DataPlaneError> {
        if let Some(idle) = self.idle.take() {
            return Ok(Some(idle));
        }
        // Asking for a family that is not there makes the kernel run modprobe each time.
        if ipvs == IpvsUse::IfLoaded && !Path::new(PROC_FILE).exists() {
            return Ok(None);
        }
        let mut socket = Socket::open()?;
        if let Some(family) = resolve(&mut socket).await? {
            return Ok(Some((socket, family)));
        }
        if ipvs == IpvsUse::IfLoaded {
            return Ok(None);
        }
        if self.modprobe.is_none() {
            self.modprobe = Some(modprobe().await);
        }
        match resolve(&mut socket).await? {
            Some(family) => Ok(Some((socket, family))),
            None => Err(DataPlaneError::NoIpvs { modprobe: self.modprobe.clone().unwrap_or_default() }),
        }
    }
}

async fn resolve(socket: &mut Socket) -> Result<Option<u16>, DataPlaneError> {
    match socket.ask(&wire::get_family(), wire::read_family).await? {
        Ok(Some(family)) => Ok(Some(family)),
        Ok(None) => Err(DataPlaneError::Malformed("no answer to a question for a family")),
        Err(KernelRefusal { errno: libc::ENOENT, .. }) => Ok(None),
        Err(refusal) => Err(refused("find the family")(refusal)),
    }
}

/// `None` when a table changed meanwhile.
async fn read_tables(socket: &mut Socket, family: u16) -> Result<Option<Tables>, DataPlaneError> {
    let (mut services, mut marks) = Tables::default();
    let request = wire::dump_services(family);
    let dumped = socket.dump(&request, |payload| {
        match wire::read_service(payload)? {
            Listed::Service(key, options) => drop(services.insert(key, IpvsService { options, dests: BTreeMap::new() })),
            Listed::Fwmark(mark) => drop(marks.insert(mark)),
            Listed::Other => {}
        }
        Ok(())
    });
    if dumped.await.map_err(permission)? == Dumped::Interrupted {
        return Ok(None);
    }
    for (key, service) in &mut services {
        // One at a time: the kernel has one dump a socket under way. A service that is gone by now has no destinations.
        let request = wire::dump_dests(family, key);
        let dumped = socket.dump(&request, |payload| {
            let (dest, properties) = wire::read_dest(payload, key)?;
            service.dests.insert(dest, properties);
            Ok(())
        });
        if dumped.await? == Dumped::Interrupted {
            return Ok(None);
        }
    }
    Ok(Some((services, marks)))
}

fn permission(error: DataPlaneError) -> DataPlaneError {
    match error {
        DataPlaneError::Netlink { source, .. } if source.raw_os_error() == Some(libc::EPERM) => DataPlaneError::NotPermitted,
        other => other,
    }
}

fn refused(doing: &'static str) -> impl FnOnce(KernelRefusal) -> DataPlaneError {
    move |refusal| permission(DataPlaneError::Netlink { doing, source: io::Error::from_raw_os_error(refusal.errno) })
}

/// Why the kernel refused a step. The last of its requests counts most.
fn failure(step: &Step, answers: Vec<RequestResult>) -> Option<StepFailure> {
    let error = match answers.into_iter().rfind(|answer| !matches!(answer, RequestResult::Done))? {
        RequestResult::Done => return None,
        RequestResult::Refused(refusal) => StepError::Refused { errno: refusal.errno, explained: explain(step, &refusal) },
        RequestResult::Unknown(why) => StepError::Unanswered(why),
    };
    Some(StepFailure { step: step.clone(), error })
}

/// What an error number means for this step (`net/netfilter/ipvs/ip_vs_ctl.c`).
fn explain(step: &Step, refusal: &KernelRefusal) -> String {
    let meaning = match (step, refusal.errno) {
        (Step::Ipvs(IpvsStep::AddService(_, options)) | Step::Ipvs(IpvsStep::EditService(_, options)), libc::ENOENT) => {
            format!("this kernel has no scheduler `{0}`: load it with `modprobe ip_vs_{0}`, or choose another", options.scheduler)
        }
        (Step::Ipvs(IpvsStep::AddService(..)), libc::EEXIST) => "there is such a service already".to_owned(),
        (_, libc::ESRCH) => "there is no such service".to_owned(),
        (Step::Ipvs(IpvsStep::AddDest(..)), libc::EEXIST) => "there is such a destination already".to_owned(),
        (Step::Ipvs(IpvsStep::EditDest(..)) | Step::Ipvs(IpvsStep::RemoveDest(..)), libc::ENOENT) => {
            "there is no such destination".to_owned()
        }
        (Step::Ipvs(IpvsStep::AddDest(..)), libc::EINVAL) => {
            "the kernel takes no such destination: is it a unicast address?".to_owned()
        }
        (_, errno) => io::Error::from_raw_os_error(errno).to_string(),
    };
    match &refusal.text {
        Some(text) => format!("{meaning} ({text})"),
        None => meaning,
    }
}

/// Loads IPVS if it is not loaded. The agent calls it before it gives up the right to load modules.
pub async fn load_module() {
    if !Path::new(PROC_FILE).exists() {
        tracing::debug!(said = modprobe().await, "asked for ip_vs");
    }
}

/// Tries to load the module, and returns the result as a text.
async fn modprobe() -> String {
    let Some(path) = MODPROBE_CANDIDATES.into_iter().find(|path| Path::new(path).exists()) else {
        return format!("none of {} exists", MODPROBE_CANDIDATES.join(", "));
    };
    let run = Command::new(path).arg("ip_vs").stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(MODPROBE_DEADLINE, run).await {
        Err(_) => format!("{path} took longer than {MODPROBE_DEADLINE:?}"),
        Ok(Err(error)) => format!("{path}: {error}"),
        Ok(Ok(output)) if output.status.success() => format!("{path} said nothing"),
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect(),
    }
}
