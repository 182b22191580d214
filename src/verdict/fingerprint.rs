//! The check fingerprint: a number for what exactly is probed, which every agent computes alike.

use crate::model::{Check, CheckKind, RealServer};
use std::net::SocketAddr;

/// The address and port at which a server is probed.
pub fn check_address(server: &RealServer, check: &Check) -> SocketAddr {
    SocketAddr::new(server.address, check.port.unwrap_or(server.port))
}

/// A fingerprint of the address and the kind of check. Interval, timeout, `fall` and `rise` are no part of it: an observation stays valid when only
/// these change.
///
/// It is made from a text of fixed form, so that agents of different versions agree on it.
pub fn check_fingerprint(address: SocketAddr, kind: &CheckKind) -> u32 {
    let text = match kind {
        CheckKind::Tcp => format!("tcp {address}"),
        CheckKind::Http { path, host, status } => {
            let codes: Vec<String> = status.iter().map(|range| format!("{}-{}", range.first, range.last)).collect();
            format!("http {address} {} {path} {}", host.as_deref().unwrap_or(""), codes.join(","))
        }
        // No argument has a NUL in it.
        CheckKind::Script { script, args } => format!("script {address} {script}\0{}", args.join("\0")),
    };
    let hash = stable_hash(text.as_bytes());
    u32::try_from(hash >> 32).expect("the upper half of 64 bits")
}

/// FNV-1a with a final mix (`MurmurHash3`'s `fmix64`, for FNV alone spreads the last bytes badly): the same on every machine and in every
/// version of the agent, which std's hashers do not promise.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StatusRange;

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash(b"web/r1\0d1"), stable_hash(b"web/r1\0d1"));
        assert_ne!(stable_hash(b"web/r1\0d1"), stable_hash(b"web/r1\0d2"));
    }

    #[test]
    fn another_address_path_host_status_script_or_argument_is_another_fingerprint() {
        let http = |path: &str, host: Option<&str>, last| CheckKind::Http {
            path: path.to_owned(),
            host: host.map(str::to_owned),
            status: vec![StatusRange { first: 200, last }],
        };
        let script = |script: &str, args: &[&str]| CheckKind::Script {
            script: script.parse().unwrap(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        };
        let (here, there) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let fingerprints = [
            check_fingerprint(here, &CheckKind::Tcp),
            check_fingerprint(there, &CheckKind::Tcp),
            check_fingerprint(here, &http("/", None, 299)),
            check_fingerprint(here, &http("/up", None, 299)),
            check_fingerprint(here, &http("/", Some("www"), 299)),
            check_fingerprint(here, &http("/", None, 399)),
            check_fingerprint(here, &script("up", &[])),
            check_fingerprint(there, &script("up", &[])),
            check_fingerprint(here, &script("down", &[])),
            check_fingerprint(here, &script("up", &["a b"])),
            check_fingerprint(here, &script("up", &["a", "b"])),
        ];
        let different: std::collections::BTreeSet<u32> = fingerprints.into_iter().collect();
        assert_eq!(different.len(), fingerprints.len());
    }
}
