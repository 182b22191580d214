//! The command line as users type it.

use super::*;
use clap::CommandFactory;

fn command(line: &str) -> Result<Command, clap::Error> {
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
    for word in ["run", "init", "join", "leave", "status", "plan", "apply", "export", "version", "  10  plan --exit-code"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert!(!help.contains("worker"), "the guard's child is nobody's business");
    let names: Vec<String> = definition.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let text = definition.find_subcommand_mut(&name).unwrap().clone().term_width(100).render_long_help().to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("xample") || matches!(name.as_str(), "worker" | "version" | "help"), "{name} has no example");
    }
}

#[test]
fn seeds_are_addresses() {
    let Ok(Command::Join(join)) = command("lvs-agent join 10.0.0.11 10.0.0.12:7500") else { panic!("not taken") };
    assert_eq!(join.seeds, ["10.0.0.11:7400".parse().unwrap(), "10.0.0.12:7500".parse().unwrap()]);
    let error = command("lvs-agent join d1.example.org").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("host names are not looked up"), "{error}");
}

#[test]
fn watching_takes_an_optional_pace() {
    let watch = |line: &str| match command(line) {
        Ok(Command::Status(status)) => status.watch,
        other => panic!("{other:?}"),
    };
    assert_eq!(watch("lvs-agent status"), None);
    assert_eq!(watch("lvs-agent status --watch"), Some(Duration::from_secs(2)));
    assert_eq!(watch("lvs-agent status --watch 0.5"), Some(Duration::from_millis(500)));
    assert!(command("lvs-agent status --watch 0").is_err());
    assert!(command("lvs-agent status --watch nan").is_err());
}

#[test]
fn the_worker_is_started_as_its_guard_was() {
    let line = "lvs-agent --config /a.toml run --log debug --log-format json --socket /s";
    let args = Args::try_parse_from(line.split(' ')).unwrap();
    let Command::Run(log) = &args.command else { panic!("{args:?}") };
    let mut words = vec![OsString::from("lvs-agent")];
    words.extend(args.for_worker(log));
    let worker = Args::try_parse_from(words).unwrap();
    assert_eq!((&worker.config, &worker.socket), (&args.config, &args.socket));
    assert_eq!(worker.command, Command::Worker(log.clone()));
}
