//! Gives up, for good, every right that the process does not need.
//!
//! Capabilities belong to a thread (capabilities(7)), so this is called before there is a second thread. The process stays uid 0: it uses root's files,
//! the sysctls of the network and the worker's process as their owner, without a capability.

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    thread::set_no_new_privs,
};
use std::io;

/// A capability that a process needs, and what does not work without it.
pub type NeededCapability = (Capability, &'static str);

/// What guard and worker need.
pub const AGENT: [NeededCapability; 3] = [
    (Capability::CAP_NET_ADMIN, "ipvs, addresses and sysctls cannot be changed"),
    (Capability::CAP_NET_RAW, "vips cannot be announced"),
    (Capability::CAP_NET_BIND_SERVICE, "ports below 1024 cannot be listened on"),
];

/// What the script runner needs.
pub const SCRIPT_RUNNER: [NeededCapability; 3] = [
    (Capability::CAP_SETUID, "scripts cannot be run as another user"),
    (Capability::CAP_SETGID, "scripts cannot be run in another group"),
    (Capability::CAP_KILL, "scripts that hang cannot be killed"),
];

/// How much memory a process may lock by default (`MLOCK_LIMIT`, `include/uapi/linux/resource.h`).
const ORDINARY_LOCKED_BYTES: u64 = 8 << 20;

/// Why rights could not be given up. The agent does not run with more than it needs.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities could not be read or changed.
    #[error("cannot give up capabilities: {0}")]
    Capabilities(String),
    /// `no_new_privs`, core dumps or dumpability could not be set.
    #[error("cannot {doing}")]
    Process {
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl From<CapsError> for PrivilegeError {
    fn from(error: CapsError) -> Self {
        PrivilegeError::Capabilities(error.to_string())
    }
}

/// Lowers the limits that a service manager may have raised for the guard, for this process and what it starts: real-time scheduling, locked memory.
pub fn take_back_limits() {
    let lower = |resource, most: u64| {
        let limit = getrlimit(resource);
        let lower = |of: Option<u64>| Some(of.map_or(most, |of| of.min(most)));
        // Lowering a limit needs no privilege.
        let _ = setrlimit(resource, Rlimit { current: lower(limit.current), maximum: lower(limit.maximum) });
    };
    lower(Resource::Rtprio, 0);
    lower(Resource::Memlock, ORDINARY_LOCKED_BYTES);
}

/// Removes the limit of locked memory, so that no capability is needed to lock it. Returns whether the limit is gone.
pub fn unlimit_locked_memory() -> bool {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    getrlimit(Resource::Memlock).current.is_none()
}

/// The first of `needs` that the calling thread does not have and will never have.
///
/// # Errors
/// Its capabilities cannot be read.
pub fn missing(needs: &[NeededCapability]) -> Result<Option<NeededCapability>, PrivilegeError> {
    let has = caps::read(None, CapSet::Permitted)?;
    Ok(needs.iter().find(|(capability, _)| !has.contains(capability)).copied())
}

/// Keeps `needs` and `besides` of the calling thread's capabilities and gives up the rest, so that no program that it starts gets them back.
/// Keeps the memory of this process, which contains keys, out of core dumps and debuggers.
///
/// If a capability of `needs` is missing (an unprivileged container), it logs what will not work, and goes on.
///
/// # Errors
/// Something cannot be given up. Do not go on then.
pub fn give_up(needs: &[NeededCapability], besides: &[Capability]) -> Result<(), PrivilegeError> {
    hide_memory()?;
    set_no_new_privs(true).map_err(process("forbid new privileges"))?;
    let had = caps::read(None, CapSet::Permitted)?;
    let wanted: CapsHashSet = needs.iter().map(|(capability, _)| *capability).chain(besides.iter().copied()).collect();
    let kept: CapsHashSet = wanted.intersection(&had).copied().collect();
    narrow_bounding_set(&wanted, &had)?;
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    for (capability, without) in needs.iter().filter(|(capability, _)| !kept.contains(capability)) {
        tracing::warn!(%capability, without, "capability is missing: run the agent as root");
    }
    tracing::debug!(kept = listed(&kept), "gave up all other capabilities");
    Ok(())
}

/// Forbids core dumps and ptrace, whatever the limits were.
fn hide_memory() -> Result<(), PrivilegeError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(process("switch core dumps off"))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(process("keep debuggers out"))
}

/// Narrows the bounding set, which needs a capability. Without that capability, `no_new_privs` alone keeps programs that are started from getting
/// more than this thread has.
fn narrow_bounding_set(wanted: &CapsHashSet, had: &CapsHashSet) -> Result<(), PrivilegeError> {
    if !had.contains(&Capability::CAP_SETPCAP) {
        return Ok(());
    }
    // The effective set counts here, and a parent may have emptied it.
    caps::raise(None, CapSet::Effective, Capability::CAP_SETPCAP)?;
    for capability in caps::runtime::thread_all_supported() {
        if !wanted.contains(&capability) {
            caps::drop(None, CapSet::Bounding, capability)?;
        }
    }
    Ok(())
}

fn process(doing: &'static str) -> impl FnOnce(rustix::io::Errno) -> PrivilegeError {
    move |errno| PrivilegeError::Process { doing, source: errno.into() }
}

fn listed(capabilities: &CapsHashSet) -> String {
    let mut names: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    names.sort();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, process::Command};

    /// Set in the child that gives up its rights: the test process must keep its own.
    const CHILD: &str = "LVS_AGENT_TEST_PRIVILEGE";
    const TEST: &str = "base::io::privilege::tests::what_is_given_up_stays_given_up_in_this_process_and_in_what_it_starts";

    fn status(text: &str) -> BTreeMap<&str, &str> {
        text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim())).collect()
    }

    fn mask(capabilities: &CapsHashSet) -> u64 {
        capabilities.iter().map(Capability::bitmask).sum()
    }

    fn hex(text: &str) -> u64 {
        u64::from_str_radix(text, 16).unwrap()
    }

    /// Runs in a process of its own, with whatever rights the tests have: all as root, none as a user.
    #[test]
    fn what_is_given_up_stays_given_up_in_this_process_and_in_what_it_starts() {
        if std::env::var_os(CHILD).is_none() {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
                .env(CHILD, "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        let had = caps::read(None, CapSet::Permitted).unwrap();
        give_up(&AGENT, &[Capability::CAP_IPC_LOCK]).unwrap();
        assert_eq!(missing(&SCRIPT_RUNNER).unwrap(), Some(SCRIPT_RUNNER[0]));
        let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let childs = Command::new("cat").arg("/proc/self/status").output().unwrap().stdout;
        let childs = String::from_utf8(childs).unwrap();
        let wanted: CapsHashSet = AGENT.iter().map(|(capability, _)| *capability).chain([Capability::CAP_IPC_LOCK]).collect();
        let kept = mask(&wanted.intersection(&had).copied().collect());
        let narrowed = had.contains(&Capability::CAP_SETPCAP);
        for (whose, text) in [("ours", &ours), ("a child's", &childs)] {
            let status = status(text);
            for set in ["CapPrm", "CapEff"] {
                assert_eq!(hex(status[set]) & !kept, 0, "{whose} {set} {}", status[set]);
            }
            assert_eq!((status["CapInh"], status["CapAmb"]), ("0000000000000000", "0000000000000000"), "{whose}");
            assert!(!narrowed || hex(status["CapBnd"]) & !mask(&wanted) == 0, "{whose} {}", status["CapBnd"]);
            assert_eq!(status["NoNewPrivs"], "1", "{whose}");
        }
        assert_eq!(hex(status(&ours)["CapEff"]), kept);
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        // Another time finds nothing to give up.
        give_up(&AGENT, &[]).unwrap();
    }
}
