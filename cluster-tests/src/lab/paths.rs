//! Where things lie inside the lab.

use super::hosts::Host;
use std::path::PathBuf;

/// Everything of the lab's own; on a tmpfs.
pub const ROOT: &str = "/run/lvs-lab";
/// First in `$PATH`: this binary under the name of each verb, and the agent.
pub const BIN: &str = "/run/lvs-lab/bin";
/// The job directory, shared with the host.
pub const JOB: &str = "/run/lvs-lab/job";
/// The cluster file in force, `$LVS_LAB_CLUSTER`.
pub const CLUSTER: &str = "/run/lvs-lab/cluster.toml";
/// What `cut`, `loss` and `delay` have set.
pub const FAULTS: &str = "/run/lvs-lab/faults.json";
/// Where iproute2 looks for named network namespaces.
pub const NETNS: &str = "/run/netns";

/// The pinned network namespace of a host.
pub fn netns(host: Host) -> PathBuf {
    PathBuf::from(NETNS).join(host.name())
}

/// The pinned mount namespace of a host.
pub fn mount_ns(host: Host) -> PathBuf {
    PathBuf::from(ROOT).join("mnt").join(host.name())
}

/// The disk of a host: a small tmpfs that outlives its power.
pub fn disk(host: Host) -> PathBuf {
    PathBuf::from(ROOT).join("disk").join(host.name())
}

/// What the host sees as `/run/lvs-agent`: gone with its power.
pub fn runtime(host: Host) -> PathBuf {
    PathBuf::from(ROOT).join("runtime").join(host.name())
}

/// Where the daemons' output goes: `$LVS_LAB_OUT` where the caller set it, so that it survives the run.
pub fn logs() -> PathBuf {
    std::env::var_os("LVS_LAB_OUT").map_or_else(|| PathBuf::from(ROOT).join("log"), PathBuf::from)
}
