//! The data directory and files made by others.

use super::*;
use proptest::prelude::*;
use std::{
    error::Error as _,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

const NOW: Duration = Duration::from_secs(1_800_000_000);

/// A directory for one test, removed when it ends.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lvs-agent-files-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_node_s_key_is_made_once_and_is_nobody_else_s_to_read() {
    let dir = Dir::new();
    let made = node_key(&dir.0).unwrap();
    assert_eq!(node_key(&dir.0).unwrap().public(), made.public());
    assert_eq!(fs::metadata(dir.0.join(NODE_KEY)).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(dir.names(), ["node.key"]);

    fs::set_permissions(dir.0.join(NODE_KEY), fs::Permissions::from_mode(0o640)).unwrap();
    let error = node_key(&dir.0).unwrap_err();
    assert!(matches!(error, FileError::Exposed { mode: 0o640, .. }), "{error}");
    assert!(error.to_string().contains("mode 0640"), "{error}");
}

#[test]
fn a_damaged_key_is_named_and_kept() {
    let dir = Dir::new();
    let whole = String::from_utf8(pem::encode(pem::PRIVATE_KEY, &[NodeKey::generate().pkcs8()]).to_vec()).unwrap();
    for damaged in ["", "rubbish", &whole[..whole.len() / 2], &whole.replace('M', "N")] {
        dir.file(NODE_KEY, damaged);
        let error = node_key(&dir.0).unwrap_err();
        assert!(matches!(error, FileError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("node.key is damaged"), "{error}");
        assert_eq!(fs::read_to_string(dir.0.join(NODE_KEY)).unwrap(), damaged);
    }
}

#[test]
fn certificates_are_read_as_they_were_stored() {
    let dir = Dir::new();
    assert_eq!(certificate(&dir.0).unwrap(), None);
    assert!(trusted(&dir.0).unwrap().is_empty());
    let chain = vec![vec![1; 700], vec![2; 3]];
    save_certificate(&dir.0, &chain).unwrap();
    save_trusted(&dir.0, &chain[1..]).unwrap();
    assert_eq!(certificate(&dir.0).unwrap().unwrap(), chain);
    assert_eq!(trusted(&dir.0).unwrap(), chain[1..]);
    save_trusted(&dir.0, &[]).unwrap();
    assert!(trusted(&dir.0).unwrap().is_empty());
    for damaged in ["", "rubbish", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
        dir.file(CERTIFICATE, damaged);
        let read = certificate(&dir.0);
        assert!(matches!(read, Err(FileError::Damaged { .. })), "{damaged}: {read:?}");
    }
}

#[test]
fn a_write_that_was_cut_off_leaves_the_old_and_is_not_in_the_way() {
    let dir = Dir::new();
    save_trusted(&dir.0, &[vec![1]]).unwrap();
    let victim = dir.file("victim", "mine");
    symlink(&victim, dir.0.join("trusted.crt.new")).unwrap();
    assert_eq!(trusted(&dir.0).unwrap(), [[1]]);
    save_trusted(&dir.0, &[vec![2]]).unwrap();
    assert_eq!(trusted(&dir.0).unwrap(), [[2]]);
    assert_eq!(fs::read_to_string(victim).unwrap(), "mine");
    assert_eq!(dir.names(), ["trusted.crt", "victim"]);
}

#[test]
fn ca_keys_are_found_by_their_certificate_and_wiped_when_not_kept() {
    let dir = Dir::new();
    let (old, new) = (Authority::make("c1", NOW), Authority::make("c1", NOW));
    save_authority(&dir.0, &old).unwrap();
    assert!(authority(&dir.0, new.certificate()).unwrap().is_none());
    save_authority(&dir.0, &new).unwrap();
    assert_eq!(authority(&dir.0, old.certificate()).unwrap().unwrap().fingerprint(), old.fingerprint());

    // A second name for the file shows what becomes of its content.
    let other_name = dir.0.join("other-name");
    fs::hard_link(dir.0.join(authority_file(&old.fingerprint())), &other_name).unwrap();
    keep_authorities(&dir.0, &[new.fingerprint()]).unwrap();
    assert!(authority(&dir.0, old.certificate()).unwrap().is_none());
    assert!(authority(&dir.0, new.certificate()).unwrap().is_some());
    assert!(fs::read(&other_name).unwrap().iter().all(|byte| *byte == 0));

    fs::copy(dir.0.join(authority_file(&new.fingerprint())), dir.0.join(authority_file(&old.fingerprint()))).unwrap();
    let error = authority(&dir.0, old.certificate()).unwrap_err();
    assert!(error.to_string().contains("for another key"), "{error}");
}

#[test]
fn sessions_grow_with_every_start_whatever_the_clock_does() {
    let dir = Dir::new();
    assert_eq!(next_session(&dir.0, "gossip", 1000).unwrap(), 1001);
    assert_eq!(next_session(&dir.0, "gossip", 1000).unwrap(), 1002);
    assert_eq!(next_session(&dir.0, "gossip", 5).unwrap(), 1003);
    assert_eq!(next_session(&dir.0, "gossip", 5000).unwrap(), 5001);
    assert_eq!(next_session(&dir.0, "guard", 7).unwrap(), 8);
    for damaged in ["", "50", "-1\n", "18446744073709551615\n", "18446744073709551616\n"] {
        dir.file("session-guard", damaged);
        let error = next_session(&dir.0, "guard", 7).unwrap_err();
        assert!(matches!(error, FileError::Damaged { .. }), "{damaged}: {error}");
    }
}

#[test]
fn a_node_that_has_left_keeps_nothing_of_ours_and_all_that_is_not_ours() {
    let dir = Dir::new();
    forget(&dir.0).unwrap();
    node_key(&dir.0).unwrap();
    save_authority(&dir.0, &Authority::make("c1", NOW)).unwrap();
    save_certificate(&dir.0, &[vec![1]]).unwrap();
    save_trusted(&dir.0, &[vec![1]]).unwrap();
    next_session(&dir.0, "gossip", 1).unwrap();
    next_session(&dir.0, "guard", 1).unwrap();
    dir.file("identity.json", "{}");
    assert_eq!(dir.names().len(), 7);
    forget(&dir.0).unwrap();
    assert_eq!(dir.names(), ["identity.json"]);
}

#[test]
fn files_that_are_too_long_are_not_read() {
    let dir = Dir::new();
    let path = dir.file(NODE_KEY, "");
    fs::File::options().write(true).open(path).unwrap().set_len(store::MOST_BYTES + 1).unwrap();
    let error = node_key(&dir.0).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("more than 1048576"), "{error}");
}

const RSA: (&str, &str) = (include_str!("../../testdata/rsa.pem"), include_str!("../../testdata/rsa-pkcs1.key"));
const EC: (&str, &str) = (include_str!("../../testdata/ec.pem"), include_str!("../../testdata/ec-sec1.key"));
const ED25519: (&str, &str) = (include_str!("../../testdata/ed25519.pem"), include_str!("../../testdata/ed25519.key"));

fn read_external(certificate: &str, key: &str) -> Result<usize, String> {
    let dir = Dir::new();
    let (certificate, key) = (dir.file("their.pem", certificate), dir.file("their.key", key));
    external(&certificate, &key).map(|(chain, _)| chain.len()).map_err(|error| error.to_string())
}

#[test]
fn keys_of_all_kinds_and_forms_that_openssl_makes_are_taken() {
    assert_eq!(read_external(RSA.0, RSA.1), Ok(2));
    assert_eq!(read_external(EC.0, EC.1), Ok(1));
    assert_eq!(read_external(ED25519.0, ED25519.1), Ok(1));
    // Both in one file, as haproxy has it.
    let both = format!("{}{}", EC.0, EC.1);
    assert_eq!(read_external(&both, &both), Ok(1));
}

#[test]
fn unsuitable_files_are_named_with_the_next_step() {
    let cases = [
        (RSA.0, EC.1, "their.pem cannot be used: the certificate (fingerprint "),
        (RSA.0, EC.1, "do not belong together; the key is taken from "),
        (RSA.0, include_str!("../../testdata/encrypted.key"), "their.key cannot be used: its private key is encrypted"),
        (RSA.0, include_str!("../../testdata/encrypted.key"), "convert it with `openssl pkey -in "),
        (RSA.0, "", "there is no private key in PEM form in it"),
        (RSA.1, RSA.1, "their.pem cannot be used: there is no certificate in it; put the node's certificate"),
        ("\x30\x10", RSA.1, "`openssl x509 -inform DER -in "),
        (&RSA.0[..500], RSA.1, "its PEM sections are damaged"),
        (include_str!("../../testdata/root.pem"), EC.1, "does not say whose it is"),
        (include_str!("../../testdata/root.pem"), EC.1, "docs/security.md"),
    ];
    for (certificate, key, expected) in cases {
        let error = read_external(certificate, key).unwrap_err();
        assert!(error.contains(expected), "{error}: not {expected}");
    }
    let missing = external(Path::new("/nowhere/their.pem"), Path::new("/nowhere/their.key")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /nowhere/their.pem");
}

#[test]
fn only_cas_are_taken_for_cas() {
    let dir = Dir::new();
    assert_eq!(external_authorities(&dir.file("root.pem", include_str!("../../testdata/root.pem"))).unwrap().len(), 1);
    let error = external_authorities(&dir.file("leaf.pem", EC.0)).unwrap_err().to_string();
    assert!(error.contains("may not sign others"), "{error}");
    let error = external_authorities(&dir.file("none.pem", "")).unwrap_err().to_string();
    assert!(error.contains("there is no certificate in it; put into it"), "{error}");
}

proptest! {
    #[test]
    fn pem_is_read_as_it_was_written(sections in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..4)) {
        prop_assert_eq!(pem::certificates(&pem::encode(pem::CERTIFICATE, &sections)).unwrap(), sections.clone());
        if let [section] = sections.as_slice() {
            prop_assert_eq!(&*pem::decode_secret(&pem::encode(pem::PRIVATE_KEY, &[section])).unwrap(), section);
        }
    }

    #[test]
    fn no_text_is_a_panic(text: Vec<u8>, at: prop::sample::Index, byte: u8) {
        let mut changed = RSA.1.as_bytes().to_vec();
        let at = at.index(changed.len());
        changed[at] = byte;
        for text in [&text, &changed] {
            let _ = pem::certificates(text);
            let _ = pem::decode_secret(text);
            if let pem::Found::Key(key) = pem::private_key(text) {
                let _ = crate::link::tls::certified(&[], &key);
            }
        }
    }
}
