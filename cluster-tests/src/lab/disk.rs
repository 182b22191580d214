//! The disk of a host: what survives its power, and the node configuration written to it.

use super::hosts::{Host, Role};
use super::paths;
use anyhow::{Context, Result};
use rustix::mount::MountFlags;
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// Small on purpose, so that a script can fill it.
const SIZE_MB: u32 = 64;

/// Says in how many zones the hosts stand, one after the other.
pub const ZONES: &str = "LVS_LAB_ZONES";

/// Mount points of the agent on every host.
pub const MOUNT_POINTS: [&str; 3] = ["/etc/lvs-agent", "/var/lib/lvs-agent", "/run/lvs-agent"];

/// What is mounted where on a host: (folder of the lab, path the host sees).
pub fn bindings(host: Host) -> [(PathBuf, &'static str); 3] {
    let disk = paths::disk(host);
    [(disk.join("etc"), MOUNT_POINTS[0]), (disk.join("var"), MOUNT_POINTS[1]), (paths::runtime(host), MOUNT_POINTS[2])]
}

/// Builds a host's disk, with the node configuration on it.
pub fn create(host: Host) -> Result<()> {
    let disk = paths::disk(host);
    std::fs::create_dir_all(&disk)?;
    let options = CString::new(format!("size={SIZE_MB}m,mode=755"))?;
    rustix::mount::mount(host.name(), &disk, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
        .with_context(|| format!("mount the disk of {host}"))?;
    for (folder, _) in bindings(host) {
        std::fs::create_dir_all(&folder)?;
    }
    if let Some(config) = node_config(host) {
        std::fs::write(disk.join("etc/agent.toml"), config)?;
    }
    Ok(())
}

/// Empties what does not survive the power.
pub fn forget_runtime(host: Host) -> Result<()> {
    let runtime = paths::runtime(host);
    std::fs::remove_dir_all(&runtime).with_context(|| format!("empty {}", runtime.display()))?;
    std::fs::create_dir_all(&runtime)?;
    Ok(())
}

/// The file that says the agent starts at boot; `start-agent` leaves it behind, as enabling a unit would.
pub fn enabled(host: Host) -> PathBuf {
    paths::disk(host).join("agent-enabled")
}

/// `/etc/lvs-agent/agent.toml` of a host; none for the client.
pub fn node_config(host: Host) -> Option<String> {
    let role = match host.role() {
        Role::Client => return None,
        Role::Director => "director",
        Role::RealServer => "real-server",
    };
    let zones = std::env::var(ZONES).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    Some(format!(
        "node = \"{host}\"\nroles = [\"{role}\"]\ninterface = \"eth0\"\naddress = \"{}\"\nseeds = [\"{}\"]\n{}",
        host.address(),
        Host::founder().address(),
        zone(host, zones),
    ))
}

/// The line that says in which of so many zones a host stands; none where there are no zones.
fn zone(host: Host, zones: usize) -> String {
    host.index().checked_rem(zones).map_or_else(String::new, |zone| format!("zone = \"z{}\"\n", zone + 1))
}

/// Makes the mount points on the lab's own root, where it can be written to.
pub fn create_mount_points() -> Result<()> {
    for point in MOUNT_POINTS {
        if !Path::new(point).is_dir() {
            std::fs::create_dir_all(point).with_context(|| format!("create the mount point {point}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_has_no_node_configuration_and_the_others_have_their_own() {
        assert_eq!(node_config(Host::client()), None);
        let r2: Host = "r2".parse().unwrap();
        assert_eq!(
            node_config(r2).unwrap(),
            "node = \"r2\"\nroles = [\"real-server\"]\ninterface = \"eth0\"\naddress = \"10.0.0.22\"\nseeds = [\"10.0.0.11\"]\n"
        );
    }

    #[test]
    fn hosts_are_dealt_out_to_the_zones_in_turn() {
        let zones: Vec<String> = ["d1", "d2", "r1", "r2"].iter().map(|name| zone(name.parse().unwrap(), 3)).collect();
        assert_eq!(zones, ["zone = \"z2\"\n", "zone = \"z3\"\n", "zone = \"z1\"\n", "zone = \"z2\"\n"]);
        assert_eq!(zone(Host::founder(), 0), "");
    }
}
