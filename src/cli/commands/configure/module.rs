//! The kernel's module ip_vs on directors: loaded now, and at each boot by modules-load.d(5).

use crate::base::{errors::with_sources, io::durable};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What systemd-modules-load reads at boot. The package's purge removes it.
const FILE: &str = "/etc/modules-load.d/lvs-agent.conf";
const TEXT: &str = "# Written by `lvs-agent configure`: this node is a director of a Linux Virtual Server cluster.\nip_vs\n";
/// Is there once the module is loaded, or built in.
const LOADED: &str = "/proc/net/ip_vs";

/// Has the module loaded. Returns what a person should know if that could not be: the kernel may still load it by itself when the agent asks for IPVS.
pub(super) fn load() -> Option<String> {
    if let Err(error) = durable::write_for_all(Path::new(FILE), TEXT.as_bytes()) {
        return Some(format!("cannot write {FILE}, by which ip_vs is loaded at boot: {}", with_sources(&error)));
    }
    if Path::new(LOADED).exists() {
        return None;
    }
    let ended = Command::new("modprobe").args(["--", "ip_vs"]).stdin(Stdio::null()).output();
    match ended {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().lines().next().unwrap_or("it does not say why").to_owned();
            Some(format!("`modprobe ip_vs` fails, and without it this director forwards nothing: {said}"))
        }
        Err(error) => Some(format!("cannot run `modprobe ip_vs`, without which this director forwards nothing: {error}")),
    }
}
