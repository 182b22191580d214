//! Both groups of sysctls, on files that look like the kernel's.

use super::*;

/// A directory that looks like `/proc/sys` and a data directory, gone at the end of the test.
struct Machine {
    root: PathBuf,
    sysctls: Sysctls,
}

impl Machine {
    fn new(name: &str, sysctls: fn(&Path) -> Sysctls) -> Self {
        let root = std::env::temp_dir().join(format!("lvs-agent-sysctl-{name}-{}", std::process::id()));
        let (directory, boot_id) = (root.join("sys"), root.join("boot_id"));
        for setting in sysctls(&root).settings {
            fs::create_dir_all(directory.join(setting.file).parent().unwrap()).unwrap();
        }
        let machine = Self { sysctls: Sysctls { directory, boot_id, ..sysctls(&root) }, root };
        machine.boot("first");
        machine
    }

    fn arp(name: &str) -> Self {
        Self::new(name, Sysctls::arp)
    }

    fn ipvs(name: &str) -> Self {
        let machine = Self::new(name, Sysctls::ipvs);
        machine.set("conntrack", 0);
        machine.set("conn_reuse_mode", 1);
        machine
    }

    fn boot(&self, id: &str) {
        fs::write(&self.sysctls.boot_id, format!("{id}\n")).unwrap();
        self.sysctls.settings.iter().for_each(|setting| self.set(setting.file, 0));
    }

    fn set(&self, file: &str, value: i64) {
        self.sysctls.set(file, value).unwrap();
    }

    fn values(&self) -> Vec<i64> {
        self.sysctls.settings.iter().map(|setting| self.sysctls.value(setting.file).unwrap().unwrap()).collect()
    }

    fn state(&self) -> (bool, bool) {
        let state = self.sysctls.state().unwrap();
        (state.in_force, state.former_kept)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

#[test]
fn silence_comes_and_goes() {
    let machine = Machine::arp("comes-and-goes");
    assert_eq!(machine.state(), (false, false));
    machine.sysctls.enforce().unwrap();
    assert_eq!((machine.values(), machine.state()), (vec![1, 1, 2, 2], (true, true)));
    machine.sysctls.restore().unwrap();
    assert_eq!((machine.values(), machine.state()), (vec![0, 0, 0, 0], (false, false)));
}

#[test]
fn our_own_values_are_never_taken_for_the_former_ones() {
    let machine = Machine::arp("own");
    machine.set("all/arp_announce", 1);
    machine.sysctls.enforce().unwrap();
    machine.set("all/arp_ignore", 0); // by hand, and put back:
    machine.sysctls.enforce().unwrap();
    machine.sysctls.enforce().unwrap();
    assert_eq!(machine.values(), [1, 1, 2, 2]);
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [0, 0, 1, 0]);
}

#[test]
fn an_operators_stricter_values_stay() {
    let machine = Machine::arp("stricter");
    machine.set("all/arp_ignore", 8);
    machine.sysctls.enforce().unwrap();
    assert_eq!(machine.values(), [8, 1, 2, 2]);
    machine.set("lo/arp_announce", 1); // an operator's choice since then
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [8, 0, 0, 1]);
}

#[test]
fn a_value_that_lets_addresses_through_is_no_silence() {
    let machine = Machine::arp("leaky");
    machine.sysctls.enforce().unwrap();
    machine.set("all/arp_ignore", 3);
    assert!(!machine.state().0);
}

#[test]
fn silence_that_was_there_already_leaves_no_record() {
    let machine = Machine::arp("already");
    for setting in &ARP {
        machine.set(setting.file, setting.ours);
    }
    machine.sysctls.enforce().unwrap();
    assert_eq!(machine.state(), (true, false));
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [1, 1, 2, 2]);
}

#[test]
fn a_record_of_a_former_boot_is_void() {
    let machine = Machine::arp("reboot");
    machine.set("all/arp_announce", 1);
    machine.sysctls.enforce().unwrap();
    machine.boot("second");
    assert_eq!(machine.state(), (false, false));
    machine.sysctls.enforce().unwrap();
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [0, 0, 0, 0]);
}

#[test]
fn nothing_is_changed_when_the_former_values_cannot_be_kept() {
    let machine = Machine::arp("disk");
    let arp = Sysctls { record: machine.root.join("no-such-directory").join("arp-former.json"), ..machine.sysctls.clone() };
    assert!(matches!(arp.enforce(), Err(DataPlaneError::File { doing: "write", .. })));
    assert_eq!(machine.values(), [0, 0, 0, 0]);
}

#[test]
fn a_record_of_an_agent_that_knew_only_arp_settings_is_understood() {
    let machine = Machine::arp("old-record");
    ARP.iter().for_each(|setting| machine.set(setting.file, setting.ours));
    let record = r#"{"version": 1, "boot": "first", "values": {"all/arp_ignore": 0, "lo/arp_announce": 1}}"#;
    fs::write(machine.root.join("arp-former.json"), record).unwrap();
    assert_eq!(machine.state(), (true, true));
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [0, 1, 2, 1]);
}

#[test]
fn ipvs_settings_come_and_go() {
    let machine = Machine::ipvs("ipvs");
    assert_eq!(machine.state(), (false, false));
    machine.sysctls.enforce().unwrap();
    assert_eq!((machine.values(), machine.state()), (vec![1, 3], (true, true)));
    machine.set("expire_nodest_conn", 0);
    assert!(!machine.state().0);
    machine.sysctls.enforce().unwrap();
    machine.sysctls.restore().unwrap();
    assert_eq!((machine.values(), machine.state()), (vec![0, 1], (false, false)));
}

#[test]
fn with_connection_tracking_reused_ports_are_left_to_the_server_they_were_with() {
    let machine = Machine::ipvs("conntrack");
    machine.set("conntrack", 1);
    machine.sysctls.enforce().unwrap();
    assert_eq!((machine.values(), machine.state()), (vec![1, 1], (true, true)));
    machine.set("conntrack", 0);
    assert!(!machine.state().0);
    machine.sysctls.enforce().unwrap();
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.values(), [0, 1]);
}

#[test]
fn where_ipvs_is_not_loaded_there_is_nothing_to_set_and_nothing_to_put_back() {
    let machine = Machine::ipvs("not-loaded");
    machine.sysctls.enforce().unwrap();
    fs::remove_dir_all(&machine.sysctls.directory).unwrap();
    assert_eq!(machine.state(), (true, true));
    machine.sysctls.enforce().unwrap();
    machine.sysctls.restore().unwrap();
    assert_eq!(machine.state(), (true, false));
}
