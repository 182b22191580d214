//! The command line as users type it.

use super::*;
use crate::model::Access;
use clap::CommandFactory;

fn command(line: &str) -> Result<CliCommand, clap::Error> {
    Args::try_parse_from(line.split(' ')).map(|args| args.command)
}

#[test]
fn the_definition_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn help_names_every_command_and_exit_code_within_100_columns() {
    let mut definition = Args::command();
    let help = definition.render_long_help().to_string();
    let words =
        "run configure init join leave withdraw restart status plan apply export node token identity keys ca version --server"
            .split(' ');
    for word in words.chain(["  10  plan --exit-code"]) {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert!(!help.contains("worker") && !help.contains("runner"), "the guard's children are nobody's business");
    check_help(&mut definition, "lvs-agent");
}

/// Every command's help has an example and fits the terminal.
fn check_help(definition: &mut clap::Command, path: &str) {
    for sub in definition.get_subcommands_mut() {
        let path = format!("{path} {}", sub.get_name());
        let text = sub.clone().term_width(100).render_long_help().to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(
            text.contains("xample") || matches!(sub.get_name(), "worker" | "script-runner" | "help"),
            "{path} has no example"
        );
        check_help(sub, &path);
    }
}

#[test]
fn configure_wants_roles_and_takes_the_rest_from_the_machine() {
    let configure = |options: &str| match command(&format!("lvs-agent configure {options}")) {
        Ok(CliCommand::Configure(args)) => Ok(args),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let least = configure("--roles director").unwrap();
    assert_eq!((least.address, least.interface, least.seeds.len(), least.force), (None, None, 0, false));
    let all = "--roles real-server,director --address 10.0.0.11 --interface eth0 --node d1 --zone z1 --seeds 10.0.0.12,10.0.0.13:7500 \
               --timing wan --force --json --no-service --dry-run";
    let all = configure(&all.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
    assert_eq!(all.roles.to_string(), "director, real-server");
    assert_eq!(all.address, Some("10.0.0.11:7400".parse().unwrap()));
    assert_eq!(all.seeds, ["10.0.0.12:7400".parse().unwrap(), "10.0.0.13:7500".parse().unwrap()]);
    for (wrong, why) in [
        ("", "--roles <ROLES>"),
        ("--roles king", "`king` is not a role"),
        ("--roles director --address d1", "host names are not looked up"),
        ("--roles director --address ::1", "IPv6 is not supported yet"),
        ("--roles director --address 0.0.0.0", "not the address of one machine"),
        ("--roles director --interface lo", "not on `lo`"),
        ("--roles director --timing slow", "use fast, lan or wan"),
    ] {
        let error = configure(wrong).map(|args| panic!("{args:?}")).unwrap_or_else(|error: String| error);
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn seeds_are_addresses() {
    let Ok(CliCommand::Join(join)) = command("lvs-agent join 10.0.0.11 10.0.0.12:7500") else { panic!("not taken") };
    assert_eq!(join.seeds, ["10.0.0.11:7400".parse().unwrap(), "10.0.0.12:7500".parse().unwrap()]);
    let error = command("lvs-agent join d1.example.org").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("host names are not looked up"), "{error}");
}

#[test]
fn seeds_may_stand_with_commas_between() {
    let Ok(CliCommand::Join(join)) = command("lvs-agent join 10.0.0.11,10.0.0.12:7500 10.0.0.13 --token lvs1_x") else {
        panic!("not taken")
    };
    let seeds: Vec<String> = join.seeds.iter().map(ToString::to_string).collect();
    assert_eq!(seeds, ["10.0.0.11:7400", "10.0.0.12:7500", "10.0.0.13:7400"]);
    assert!(!format!("{join:?}").contains("lvs1_x"), "a token is not shown");
}

#[test]
fn a_token_lasts_an_hour_for_one_real_server_unless_told_otherwise() {
    let create = |line: &str| match command(line) {
        Ok(CliCommand::Token(TokenCommand::Create(args))) => Ok((args.ttl.as_secs(), args.uses, args.roles.to_string())),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    assert_eq!(create("lvs-agent token create"), Ok((3600, 1, "real-server".to_owned())));
    let all = "lvs-agent token create --ttl 30d --uses 1000 --roles witness,director";
    assert_eq!(create(all), Ok((30 * 86_400, 1000, "director, witness".to_owned())));
    for (wrong, why) in [
        ("--ttl 59s", "use 1m to 30d"),
        ("--ttl 31d", "use 1m to 30d"),
        ("--ttl 99999999999999d", "whole number"),
        ("--ttl é", "whole number"),
        ("--uses 0", "1..=1000"),
        ("--uses 1001", "1..=1000"),
        ("--roles king", "`king` is not a role"),
        ("--roles ,", "is not a role"),
    ] {
        let error = create(&format!("lvs-agent token create {wrong}")).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn an_identity_looks_only_unless_it_is_an_administrators() {
    let access = |line: &str| match command(line) {
        Ok(CliCommand::Identity(IdentityCommand::Create(args))) => args.access(),
        other => panic!("{other:?}"),
    };
    assert_eq!(access("lvs-agent identity create a"), Access::ReadOnly);
    assert_eq!(access("lvs-agent identity create a --read-only"), Access::ReadOnly);
    assert_eq!(access("lvs-agent identity create a --admin"), Access::Admin);
    assert!(command("lvs-agent identity create a --admin --read-only").is_err());
    assert!(command("lvs-agent identity create ../a").is_err());
}

#[test]
fn a_server_is_a_host_with_its_port_and_may_stand_anywhere() {
    let server = |line: &str| Args::try_parse_from(line.split(' ')).map(|args| args.remote.server).map_err(|_| ());
    assert_eq!(server("lvs-agent --server d1.example.org:7443 status"), Ok(Some("d1.example.org:7443".to_owned())));
    assert_eq!(server("lvs-agent token list --server [::1]:7443"), Ok(Some("[::1]:7443".to_owned())));
    for wrong in ["d1", ":7443", "d1:0", "d1:x", "d1:70000"] {
        assert_eq!(server(&format!("lvs-agent --server {wrong} status")), Err(()), "{wrong}");
    }
}

#[test]
fn watching_takes_an_optional_pace() {
    let watch = |line: &str| match command(line) {
        Ok(CliCommand::Status(status)) => status.watch,
        other => panic!("{other:?}"),
    };
    assert_eq!(watch("lvs-agent status"), None);
    assert_eq!(watch("lvs-agent status --watch"), Some(Duration::from_secs(2)));
    assert_eq!(watch("lvs-agent status --watch 0.5"), Some(Duration::from_millis(500)));
    assert!(command("lvs-agent status --watch 0").is_err());
    assert!(command("lvs-agent status --watch nan").is_err());
}

#[test]
fn worker_and_script_runner_are_started_as_their_guard_was() {
    let line = "lvs-agent --config /a.toml run --log debug --log-format json --socket /s";
    let args = Args::try_parse_from(line.split(' ')).unwrap();
    let CliCommand::Run(log) = &args.command else { panic!("{args:?}") };
    for (process, command) in
        [("worker", CliCommand::Worker(log.clone())), ("script-runner", CliCommand::ScriptRunner(log.clone()))]
    {
        let mut words = vec![OsString::from("lvs-agent")];
        words.extend(args.for_child(process, log));
        let child = Args::try_parse_from(words).unwrap();
        assert_eq!((&child.config, &child.socket), (&args.config, &args.socket));
        assert_eq!(child.command, command);
    }
}
