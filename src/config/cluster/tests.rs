//! What a cluster file may say, and every error with its place.

use super::*;
use crate::model::{Check, CheckKind, Protocol, Scheduler, StatusRange, Weight};
use std::time::Duration;

fn problems(text: &str) -> Vec<String> {
    parse("c.toml", text).unwrap_err().lines()
}

const WEB: &str = r#"
[[vip]]
name = "web"
addresses = ["10.0.0.100", "10.0.0.101"]
interface = "eth0"

[[service]]
name = "http"
vip = "web"
port = 80

  [service.check]
  type = "http"
  path = "/health?full=1"
  host = "www.example.org"
  status = [200, "301-302"]
  port = 8080
  interval = "2s"
  timeout = "300ms"
  fall = 3
  rise = 1

  [[service.server]]
  name = "r1"
  address = "10.0.0.21"
  port = 80

  [[service.server]]
  name = "r2"
  address = "10.0.0.22"
  port = 80
  weight = 0
  agentless = true

[[service]]
name = "dns"
vip = "web"
protocol = "udp"
port = 53
scheduler = "rr"
forward = "dr"
"#;

#[test]
fn a_cluster_file_becomes_a_rule_set() {
    let rules = parse("c.toml", WEB).unwrap();
    assert_eq!(rules.vips.len(), 1);
    assert_eq!(rules.vips.values().next().unwrap().addresses.len(), 2);
    let http = &rules.services[&"http".parse().unwrap()];
    assert_eq!((http.protocol, http.scheduler, http.port), (Protocol::Tcp, Scheduler::Wlc, 80));
    let kind = CheckKind::Http {
        path: "/health?full=1".to_owned(),
        host: Some("www.example.org".to_owned()),
        status: vec![StatusRange { first: 200, last: 200 }, StatusRange { first: 301, last: 302 }],
    };
    let (interval, timeout) = (Duration::from_secs(2), Duration::from_millis(300));
    assert_eq!(http.check, Some(Check { kind, port: Some(8080), interval, timeout, fall: 3, rise: 1 }));
    let r2 = &http.servers[&"r2".parse().unwrap()];
    assert_eq!((r2.weight, r2.agentless), (Weight(0), true));
    assert_eq!(http.servers[&"r1".parse().unwrap()].weight, Weight(1));
    let dns = &rules.services[&"dns".parse().unwrap()];
    assert_eq!((dns.protocol, dns.scheduler, &dns.check), (Protocol::Udp, Scheduler::Rr, &None));
}

#[test]
fn an_empty_file_is_an_empty_rule_set() {
    assert_eq!(parse("c.toml", "").unwrap(), RuleSet::default());
}

#[test]
fn a_check_has_defaults_and_its_timeout_never_exceeds_the_interval() {
    let check = |lines: &str| {
        let text = format!("{}\n[service.check]\n{lines}", WEB);
        parse("c.toml", &text).unwrap().services[&"dns".parse().unwrap()].check.clone().unwrap()
    };
    let ms = Duration::from_millis;
    let tcp = Check { kind: CheckKind::Tcp, port: None, interval: ms(1000), timeout: ms(500), fall: 2, rise: 2 };
    assert_eq!(check("type = \"tcp\""), tcp);
    assert_eq!(check("type = \"tcp\"\ninterval = \"100ms\"").timeout, ms(100));
}

#[test]
fn a_check_by_script_has_arguments_and_no_keys_of_other_checks() {
    let check = |lines: &str| {
        let text = format!("{}\n[service.check]\ntype = \"script\"\n{lines}", WEB);
        parse("c.toml", &text).map(|rules| rules.services[&"dns".parse().unwrap()].check.clone().unwrap().kind)
    };
    let kind = CheckKind::Script { script: "check-dns".parse().unwrap(), args: vec!["-t".to_owned(), "1 s".to_owned()] };
    assert_eq!(check("script = \"check-dns\"\nargs = [\"-t\", \"1 s\"]"), Ok(kind));
    for (lines, said) in [
        ("", "[service.check] of type \"script\" needs `script`"),
        ("script = \"x\"\npath = \"/\"", "`path` is for checks of type \"http\"; this one is \"script\""),
        ("script = \"../x\"", "`script`: `../x` is not a name"),
        ("script = \".x\"", "`script`: `.x` is not a name"),
        (
            "script = \"x\"\nargs = [\"a\\u0000b\"]",
            "`args`: `a\\0b` is not an argument: at most 256 bytes, no control characters",
        ),
        (&format!("script = \"x\"\nargs = [{}]", "\"\",".repeat(33)), "`args`: at most 32"),
        (&format!("script = \"x\"\nargs = [\"{}\"]", "y".repeat(257)), "is not an argument: at most 256 bytes"),
    ] {
        let problems = check(lines).unwrap_err().lines();
        assert!(problems.len() == 1 && problems[0].contains(said), "{lines}: {problems:?}");
    }
}

#[test]
fn every_wrong_value_is_said_at_once_with_its_place() {
    let text = r#"
[[vip]]
name = "Web"
addresses = ["10.0.0.100/24", "fe80::1", "224.0.0.1"]
interface = "lo"

[[vip]]
addresses = []
interface = "eth 0"
on_quorum_loss = "keep"

[[service]]
name = "http"
vip = "web"
protocol = "sctp"
port = 0
shceduler = "wlc"
scheduler = "wlcc"
forward = "nat"

  [service.check]
  type = "icmp"
  path = "health"
  host = ""
  status = [99, "300-200", "ok"]
  interval = "50ms"
  timeout = "2"
  fall = 0
  rise = 11
  retries = 3

  [[service.server]]
  name = "r1"
  address = "r1.example.org"
  port = "80"
  weight = 65536
  agentless = "yes"

[[services]]
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn everything_that_does_not_fit_together_is_said_at_once_with_its_place() {
    let text = r#"
[[vip]]
name = "web"
addresses = ["10.0.0.100", "10.0.0.100"]
interface = "eth0"

[[vip]]
name = "mail"
addresses = ["10.0.0.100"]
interface = "eth0"

[[vip]]
name = "web"
addresses = ["10.0.0.102"]
interface = "eth0"

[[service]]
name = "http"
vip = "wbe"
port = 80

[[service]]
name = "a"
vip = "web"
port = 80

  [service.check]
  type = "tcp"
  path = "/"
  interval = "1s"
  timeout = "2s"

  [[service.server]]
  name = "r1"
  address = "10.0.0.21"
  port = 8080

  [[service.server]]
  name = "r1"
  address = "10.0.0.102"
  port = 80

  [[service.server]]
  name = "r2"
  address = "10.0.0.21"
  port = 80

[[service]]
name = "a"
vip = "web"
port = 80

[[service]]
name = "b"
vip = "storage-cluster"
protocol = "udp"
port = 80
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn tables_of_the_wrong_form_are_explained() {
    assert_eq!(
        problems("vip = 3\n[service]\nname = \"a\"\n"),
        [
            "c.toml:1:7: expected tables headed [[vip]], found a number",
            "c.toml:2:1: write [[service]] with double brackets: there may be several"
        ]
    );
}

#[test]
fn tables_in_the_wrong_place_are_told_where_they_belong() {
    let check = "did you mean [service.check], below the [[service]] that it is for?";
    let server = "did you mean [[service.server]], below the [[service]] that it is for?";
    let below = |heading: &str| format!("{}\n{heading}\ntype = \"tcp\"\n", WEB.trim());
    let line = WEB.trim().lines().count() + 1;
    for (heading, column, said) in [
        ("[check]", 2, format!("a cluster file has no key `check`: {check}")),
        ("[[check]]", 3, format!("a cluster file has no key `check`: {check}")),
        ("[checks]", 2, format!("a cluster file has no key `checks`: {check}")),
        ("[server]", 2, format!("a cluster file has no key `server`: {server}")),
        ("[[server]]", 3, format!("a cluster file has no key `server`: {server}")),
        ("[[servers]]", 3, format!("a cluster file has no key `servers`: {server}")),
        ("[services]", 2, "a cluster file has no key `services`: did you mean `service`?".to_owned()),
        ("[[vip.server]]", 7, format!("[[vip]] has no key `server`: {server}")),
        ("[vip.service]", 6, "[[vip]] has no key `service`: did you mean [[service]], a table of its own?".to_owned()),
        ("[service.server]", 1, "write [[service.server]] with double brackets: there may be several".to_owned()),
        ("[[service.check]]", 1, "write [service.check] with single brackets: there is only one".to_owned()),
    ] {
        assert_eq!(problems(&below(heading)), [format!("c.toml:{line}:{column}: {said}")], "{heading}");
    }
    for (heading, said) in [
        ("[vip]\nname = \"a\"", "write [[vip]] with double brackets: there may be several"),
        ("[service]\nname = \"a\"", "write [[service]] with double brackets: there may be several"),
        ("[service.check]", "[service.check] stands before any [[service]]: put it below the [[service]] that it is for"),
        ("[[service.server]]", "[[service.server]] stands before any [[service]]: put it below the [[service]] that it is for"),
    ] {
        assert_eq!(problems(&format!("\n{heading}\n")), [format!("c.toml:2:1: {said}")], "{heading}");
    }
    let text = "[[service]]\nname = \"a\"\nvip = \"web\"\nport = 1\n[[service.server]]\nvip = \"web\"\nname = \"r\"\naddress = \"10.0.0.1\"\n";
    assert!(problems(text).iter().any(|line| line.contains("has no key `vip`: it may have name")), "a value is no table");
}

#[test]
fn json_is_told_from_toml() {
    let hint = |file: &str, text: &str| parse(file, text).unwrap_err().lines();
    let said = "this is JSON, and a cluster file is TOML: `lvs-agent export` writes one";
    for text in ["{\"vip\": [{\"name\": \"web\"}]}", "{}", "[{\"name\": \"web\"}]", "[ \"web\", 1]", "{ vip: 1 }"] {
        assert_eq!(hint("c.toml", &format!("\n  {text}\n")), [format!("c.toml:2:3: {said}")], "{text}");
    }
    assert_eq!(hint("cluster.JSON", "vip\n"), [format!("cluster.JSON:1:1: {said}")], "by its name");
    assert!(parse("c.json", WEB).is_ok(), "what is TOML may be called so");
    assert!(!hint("c.toml", "[[vip]\n").concat().contains("JSON"));
    assert!(!hint("c.toml", "[check]\n").concat().contains("JSON"));
}

#[test]
fn a_file_without_rules_is_applied_only_where_that_is_said() {
    for text in ["", "# nothing\n", "vip = []\n"] {
        let lines = parse_to_apply("c.toml", text, false).unwrap_err().lines();
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("c.toml:1:1: the file has no [[vip]]") && lines[0].contains("--prune"), "{lines:?}");
        assert_eq!(parse_to_apply("c.toml", text, true), Ok(RuleSet::default()));
    }
    assert!(parse_to_apply("c.toml", WEB, false).is_ok());
    assert!(parse_to_apply("c.toml", "colour = 1\n", true).unwrap_err().lines()[0].contains("colour"));
}

#[test]
fn syntax_errors_are_all_placed() {
    let lines = problems("[[vip]]\nname = web\n[[service]\nport = 80\n[[service]]\nport = 1\nport = 2\n");
    for place in ["c.toml:2:8: ", "c.toml:3:", "c.toml:7:1: "] {
        assert!(lines.iter().any(|line| line.starts_with(place)), "{place} is not in {lines:?}");
    }
}

#[test]
fn columns_count_characters_not_bytes() {
    assert_eq!(problems("vip = [\"ééé\", 3]\n")[1], "c.toml:1:15: expected a table headed [[vip]], found a number");
}

#[test]
fn a_file_has_limits() {
    let many: String =
        (0..=MAX_SERVICES).map(|n| format!("[[service]]\nname = \"s{n}\"\nvip = \"web\"\nport = {}\n", n + 1000)).collect();
    let text = format!("[[vip]]\nname = \"web\"\naddresses = [\"10.0.0.100\"]\ninterface = \"eth0\"\n{many}");
    assert_eq!(problems(&text), [format!("c.toml:{}:1: there are 4097 services: 4096 at most", 5 + 4 * MAX_SERVICES)]);
    let long = "#".repeat(MAX_FILE_BYTES + 1);
    assert_eq!(problems(&long), ["c.toml:1:1: the file has 4194305 bytes: 4194304 at most"]);
}

#[test]
fn a_flood_of_problems_is_cut_off() {
    let lines = problems(&"[[vip]]\n".repeat(200));
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[100], "c.toml: … and 500 more problems");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[\\[?[a-z.]{0,9}\\]?\\]?|name|port|=| |\n|\"|1|\\{|\\}|é|,|[a-z]){0,60}") {
        let _ = parse("c.toml", &text);
    }
}
