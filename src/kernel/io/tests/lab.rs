//! For tests that want a real kernel with IPVS. They need root, and an empty network namespace of their own:
//! `LVS_LAB=1 ip netns exec NAMESPACE TEST-BINARY --exact TEST --nocapture`. Without `LVS_LAB` they say that they skip.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A data directory; `None` outside of the lab.
pub fn lab(test: &str) -> Option<PathBuf> {
    if std::env::var_os("LVS_LAB").is_none() {
        eprintln!("SKIPPED {test}: needs a kernel with IPVS and root; set LVS_LAB=1 in the lab");
        return None;
    }
    let dir = std::env::temp_dir().join(format!("lvs-agent-{test}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    run("ip link set lo up"); // without a routing table the kernel takes no destination (EINVAL)
    Some(dir)
}

/// A figure for people.
pub fn say(line: &str) {
    println!("LAB {line}");
}

pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn sysctls() -> Vec<String> {
    ["conf/all/arp_ignore", "conf/lo/arp_ignore", "conf/all/arp_announce", "conf/lo/arp_announce"].map(sysctl).to_vec()
}

/// `expire_nodest_conn` and `conn_reuse_mode`; they are there once IPVS is loaded.
pub fn ipvs_sysctls() -> [String; 2] {
    ["vs/expire_nodest_conn", "vs/conn_reuse_mode"].map(sysctl)
}

fn sysctl(file: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys/net/ipv4").join(file)).unwrap().trim().to_owned()
}
