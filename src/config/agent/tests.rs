//! What `agent.toml` may say, and what is said of one that is wrong.

use super::*;

fn parse(text: &str) -> Result<AgentConfig, Vec<String>> {
    AgentConfig::parse("agent.toml", text, "D1.example.org").map_err(|problems| problems.lines())
}

#[test]
fn two_lines_are_enough() {
    let config = parse("roles = [\"director\"]\naddress = \"10.0.0.11\"\n").unwrap();
    let expected = AgentConfig {
        zone: None,
        tls: None,
        scripts: None,
        tracks: Vec::new(),
        api_listen: None,
        node: "d1".parse().unwrap(),
        roles: Roles::new([Role::Director]).unwrap(),
        address: "10.0.0.11:7400".parse().unwrap(),
        interface: None,
        interfaces: BTreeMap::new(),
        seeds: Vec::new(),
        data_dir: "/var/lib/lvs-agent".into(),
        socket: "/run/lvs-agent/agent.sock".into(),
        timing: TimingProfile::Lan,
        log: "info".to_owned(),
    };
    assert_eq!(config, expected);
}

#[test]
fn everything_can_be_set() {
    let config = parse(
        r#"
        node = "edge-1"
        roles = ["real-server", "witness"]
        address = "127.0.0.1:17400"
        interface = "ens3"
        seeds = ["10.0.0.11", "10.0.0.12:7500"]
        data_dir = "/srv/lvs"
        socket = "/srv/lvs.sock"
        timing = "wan"
        log = "warn,lvs_agent::guard=debug"
        zone = "rack-1"

        [tls]
        certificate = "/etc/pki/node.crt"
        key = "/etc/pki/node.key"
        ca = "/etc/pki/ca.crt"

        [scripts]
        user = "lvs-check"
        directory = "/srv/checks"

        [api]
        listen = "0.0.0.0:7443"

        [interfaces]
        eth0 = "ens3"
        "bond0.12" = "ens4"
        "#,
    )
    .unwrap();
    assert_eq!(config.node.as_str(), "edge-1");
    assert!(config.roles.has(Role::Witness) && config.roles.has(Role::RealServer) && !config.roles.has(Role::Director));
    assert_eq!(config.address, "127.0.0.1:17400".parse().unwrap());
    assert_eq!(config.interface.as_deref(), Some("ens3"));
    let mapped: Vec<_> = config.interfaces.iter().map(|(named, here)| format!("{named} is {here}")).collect();
    assert_eq!(mapped, ["bond0.12 is ens4", "eth0 is ens3"]);
    assert_eq!(config.seeds, ["10.0.0.11:7400".parse().unwrap(), "10.0.0.12:7500".parse().unwrap()]);
    assert_eq!((config.data_dir, config.socket), ("/srv/lvs".into(), "/srv/lvs.sock".into()));
    assert_eq!(config.zone.as_ref().map(ZoneName::as_str), Some("rack-1"));
    let tls =
        TlsConfig { certificate: "/etc/pki/node.crt".into(), key: "/etc/pki/node.key".into(), ca: "/etc/pki/ca.crt".into() };
    assert_eq!((config.tls, config.api_listen), (Some(tls), Some("0.0.0.0:7443".parse().unwrap())));
    let user = ScriptUser::Name("lvs-check".to_owned());
    assert_eq!(config.scripts, Some(ScriptsConfig { user, directory: "/srv/checks".into() }));
    assert_eq!((config.timing, config.log.as_str()), (TimingProfile::Wan, "warn,lvs_agent::guard=debug"));
}

#[test]
fn every_problem_is_said_at_once_and_in_order() {
    let problems = parse(
        r#"node = "D 1"
roles = ["director", "realserver"]
adress = "10.0.0.11"
interface = "an-interface-too-long"
seeds = ["d2.example.org", "0.0.0.0", "10.0.0.1:65535", "fe80::1", 7]
data_dir = "var/lib"
timing = "LAN"
log = "inof"
colour = true
"#,
    )
    .unwrap_err();
    assert_eq!(
        problems,
        [
            "agent.toml:1:1: agent.toml needs `address`",
            "agent.toml:1:8: `node`: `D 1` is not a name: use 1 to 63 of a-z, 0-9, `-`, `_` and `.`, starting with a letter or digit",
            "agent.toml:2:22: `roles`: `realserver` is not a role: use director, real-server or witness",
            "agent.toml:3:1: agent.toml has no key `adress`: did you mean `address`?",
            "agent.toml:4:13: `interface`: `an-interface-too-long` is not an interface name: use 1 to 15 characters without spaces, `/` and `:`",
            "agent.toml:5:10: `seeds`: `d2.example.org` is not an address: write one like 10.0.0.11 or 10.0.0.11:7400 (host names are not looked up)",
            "agent.toml:5:28: `seeds`: 0.0.0.0 is not the address of one machine",
            "agent.toml:5:39: `seeds`: port 65535 cannot be used: use 1 to 65534 (the guard listens on the next one)",
            "agent.toml:5:57: `seeds`: [fe80::1]:7400 is an IPv6 address: IPv6 is not supported yet in this version",
            "agent.toml:5:68: `seeds`: expected a text in quotes, found a number",
            "agent.toml:6:12: `data_dir`: `var/lib` is not an absolute path: begin it with `/`",
            "agent.toml:7:10: `timing`: `LAN` is not a timing profile: use fast, lan or wan",
            "agent.toml:8:7: `log`: `inof` is not a log filter: use a level (off, error, warn, info, debug, trace), or module=level, separated by commas",
            "agent.toml:9:1: agent.toml has no key `colour`: it may have node, roles, address, interface, seeds, data_dir, socket, timing, log, zone, tls, scripts, api, track, interfaces",
        ]
    );
}

#[test]
fn syntax_errors_are_placed_too() {
    let problems = parse("roles = [\"director\"]\naddress = \"10.0.0.11\nlog = = 3\n").unwrap_err();
    assert!(problems.iter().any(|line| line.starts_with("agent.toml:2:")), "{problems:?}");
    assert!(problems.iter().any(|line| line.starts_with("agent.toml:3:")), "{problems:?}");
}

#[test]
fn a_node_needs_a_role_and_a_usable_name() {
    let problems = AgentConfig::parse("a", "roles = []\naddress = \"10.0.0.1\"", "_host.example").unwrap_err().lines();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("this machine's host name will not do"), "{problems:?}");
    assert!(problems[1].starts_with("a:1:9: `roles`: a node without a role does nothing"), "{problems:?}");
}

#[test]
fn a_socket_path_must_fit_the_kernels_field() {
    let text = format!("roles = [\"witness\"]\naddress = \"10.0.0.1\"\nsocket = \"/{}\"", "x".repeat(107));
    assert_eq!(parse(&text).unwrap_err(), ["agent.toml:3:10: `socket`: a socket's path has at most 107 bytes, this one has 108"]);
}

#[test]
fn certificates_of_ones_own_ca_are_given_whole_or_not_at_all() {
    let problems =
        parse("roles = [\"director\"]\naddress = \"10.0.0.11\"\n[tls]\nkey = \"node.key\"\n[api]\nlisten = \"7443\"\n");
    let problems = problems.unwrap_err().join("\n");
    for said in ["certificate", "`node.key` is not an absolute path", "`7443` is not an address with a port"] {
        assert!(problems.contains(said), "{said} is not in:\n{problems}");
    }
}

#[test]
fn scripts_run_as_a_user_that_is_not_root() {
    let scripts = |lines: &str| parse(&format!("roles = [\"director\"]\naddress = \"10.0.0.11\"\n[scripts]\n{lines}\n"));
    let read = scripts("user = 997").unwrap().scripts.unwrap();
    assert_eq!((read.user, read.directory), (ScriptUser::Id(997), DEFAULT_SCRIPTS.into()));
    for root in ["\"root\"", "\"0\"", "0"] {
        let problems = scripts(&format!("user = {root}")).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("agent.toml:4:8: `user`: scripts are not run as root: "), "{problems:?}");
    }
    let problems = scripts("directory = \"checks\"\nusr = 1").unwrap_err();
    let said = [
        "3:1: [scripts] needs `user`",
        "4:13: `directory`: `checks` is not an absolute path: begin it with `/`",
        "5:1: [scripts] has no key `usr`: did you mean `user`?",
    ];
    assert_eq!(problems, said.map(|line| format!("agent.toml:{line}")));
    assert!(scripts("user = \"a:b\"").unwrap_err()[0].contains("is not the name of a user"));
}

#[test]
fn interfaces_are_named_on_both_sides() {
    let problems =
        parse("roles = [\"director\"]\naddress = \"10.0.0.11\"\n[interfaces]\neth0 = \"lo\"\n\"eth 1\" = \"ens4\"\neth2 = 3\n");
    assert_eq!(
        problems.unwrap_err(),
        [
            "agent.toml:4:8: `eth0`: VIPs go on the directors' network interface, not on `lo` (real servers use `lo` by themselves)",
            "agent.toml:5:1: [interfaces]: `eth 1` is not an interface name: use 1 to 15 characters without spaces, `/` and `:`",
            "agent.toml:6:8: `eth2`: expected a text in quotes, found a number",
        ]
    );
}
