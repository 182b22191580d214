//! The pages and completions of the real command line and the real document.

use super::*;
use std::process::Command as Program;

fn stamp() -> Stamp {
    Stamp { date: "2026-01-02".to_owned(), version: "1.2.3".to_owned() }
}

fn pages() -> Vec<(String, String)> {
    manual(&tree(), &stamp()).unwrap()
}

fn page(name: &str) -> String {
    pages().into_iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("no page {name}")).1
}

/// A page without font changes and escapes of its names.
fn plain(page: &str) -> String {
    page.replace("\\fB", "").replace("\\fI", "").replace("\\fR", "").replace("\\-", "-")
}

/// The commands that `lvs-agent --help` lists, read from its text.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("Commands:\n").nth(1).expect("there are commands").split("\n\n").next().expect("split has one");
    let name = |line: &str| {
        line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.split(' ').next().map(str::to_owned))
    };
    commands.lines().filter_map(name).filter(|name| name != "help").collect()
}

#[test]
fn every_command_that_help_lists_has_a_page_and_is_completed_and_no_other() {
    let help = lvs_agent::cli::Args::command().render_help().to_string();
    let commands = listed(&help);
    assert!(commands.contains(&"ca".to_owned()) && commands.len() > 10, "{commands:?}");
    let mut wanted: Vec<String> = commands.iter().map(|name| format!("lvs-agent-{name}.8")).collect();
    wanted.extend(["lvs-agent.8", "agent.toml.5", "cluster.toml.5"].map(str::to_owned));
    let mut found: Vec<String> = pages().into_iter().map(|(file, _)| file).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);

    let overview = plain(&page("lvs-agent.8"));
    let completions = completions::files(&lvs_agent::cli::Args::command()).unwrap();
    let files: Vec<&str> = completions.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, ["lvs-agent.bash", "_lvs-agent", "lvs-agent.fish"]);
    for name in &commands {
        assert!(overview.contains(&format!(".TP\n{name}\n")), "{name} is not among the commands");
        let see_also = overview.split(".SH \"SEE ALSO\"").nth(1).expect("there is one");
        assert!(see_also.contains(&format!("lvs-agent-{name}(8)")), "{name} is not in SEE ALSO");
        for (file, text) in &completions {
            let offered = match file.as_str() {
                "lvs-agent.bash" => format!("lvs__agent,{name})"),
                "_lvs-agent" => format!("'{name}:"),
                _ => format!("-a \"{name}\""),
            };
            assert!(text.contains(&offered), "{file} does not offer {name}");
        }
    }
    for (file, text) in pages().into_iter().chain(completions) {
        assert!(!text.contains("script-runner") && !text.contains("script\\-runner"), "{file} shows a hidden command");
    }
}

/// What bash offers at the end of these words.
fn bash_offers(file: &Path, words: &[&str]) -> Vec<String> {
    let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  function=$(complete -p lvs-agent); function=${function##*-F }; function=${function%% *}; \"$function\" lvs-agent \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"";
    let output = Program::new("bash").args(["-c", script, "bash"]).arg(file).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_commands_and_options_of_every_command() {
    let folder = Folder::new("bash");
    write(&folder.0, &completions::files(&lvs_agent::cli::Args::command()).unwrap()).unwrap();
    let file = folder.0.join("lvs-agent.bash");
    assert_eq!(bash_offers(&file, &["lvs-agent", "st"]), ["status"]);
    assert_eq!(bash_offers(&file, &["lvs-agent", "node", "r"]), ["remove", "rename-roles"]);
    assert_eq!(bash_offers(&file, &["lvs-agent", "run", "--log-format", ""]), ["text", "json"]);
    let mut root = lvs_agent::cli::Args::command();
    root.build();
    let members = visible(&root).flat_map(visible);
    for command in visible(&root).chain(members) {
        let words: Vec<&str> = command.get_bin_name().unwrap().split(' ').chain(["--"]).collect();
        let mut wanted: Vec<String> =
            command.get_arguments().filter_map(clap::Arg::get_long).map(|long| format!("--{long}")).collect();
        let mut offered: Vec<String> = bash_offers(&file, &words);
        wanted.sort();
        offered.sort();
        assert_eq!(offered, wanted, "{words:?}");
    }
}

#[test]
fn a_group_has_its_commands_in_its_page_with_their_options_and_examples() {
    let mut root = lvs_agent::cli::Args::command();
    root.build();
    let groups: Vec<&Command> = visible(&root).filter(|command| command.has_subcommands()).collect();
    assert!(groups.len() >= 5);
    for group in groups {
        let text = plain(&page(&format!("lvs-agent-{}.8", group.get_name())));
        for command in visible(group) {
            let heading = format!(".SS \"{}\"\n", command.get_bin_name().unwrap());
            let part = text.split(&heading).nth(1).unwrap_or_else(|| panic!("no {heading} in\n{text}"));
            let part = part.split("\n.S").next().unwrap();
            assert!(part.contains("For example:") && part.contains(".EX"), "{heading}{part}");
            let own = command.get_arguments().filter(|argument| !argument.is_global_set());
            for long in own.filter_map(|argument| argument.get_long()).filter(|long| *long != "help") {
                assert!(part.contains(&format!("--{long}")), "{heading} lacks --{long}:\n{part}");
            }
        }
    }
}

#[test]
fn the_overview_has_the_help_texts_files_and_exit_codes_and_the_environment() {
    let overview = plain(&page("lvs-agent.8"));
    for wanted in [
        ".SH \"EXIT STATUS\"\n.TP\n0\ndone\n",
        ".TP\n10\nplan --exit-code: there are changes\n",
        ".SH FILES\n.TP\n/etc/lvs-agent/agent.toml\nthis node\\(aqs configuration\n",
        ".TP\nLVS_AGENT_CONFIG\nStands for --config where that is not given.\n",
        ".TP\nLVS_AGENT_TOKEN\nStands for --token of lvs-agent-join(8) where that is",
        ".TH LVS-AGENT 8 \"2026-01-02\" \"lvs-agent 1.2.3\" \"System Administration\"\n",
    ] {
        assert!(overview.contains(wanted), "{wanted}\nis not in\n{overview}");
    }
    assert!(plain(&page("lvs-agent-join.8")).contains("LVS_AGENT_TOKEN environment variable"));
}

#[test]
fn every_key_of_the_document_is_a_tag_of_its_page() {
    let document = fs::read_to_string(tree().join("docs/configuration.md")).unwrap();
    let (agent, cluster) = document.split_once("## The cluster file").unwrap();
    for (part, name, least) in [(agent, "agent.toml.5", 15), (cluster, "cluster.toml.5", 20)] {
        let text = page(name);
        let tags: Vec<&str> = text.split(".TP\n").skip(1).filter_map(|rest| rest.lines().next()).collect();
        let mut keys = 0;
        for row in part.lines().filter(|line| line.starts_with("| `")) {
            let cell = row.split('|').nth(1).expect("a row has cells");
            let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            keys += names.len();
            let whole = |tag: &&&str| names.iter().all(|name| tag.contains(&format!("\\fB{name}\\fR")));
            assert!(tags.iter().any(|tag| whole(&tag)), "{name} has no tag for {cell}");
        }
        assert!(keys >= least, "found {keys} keys for {name}");
    }
}

#[test]
fn every_sentence_of_the_document_is_in_its_page() {
    let words = |text: &str| {
        let bare: String = text.chars().filter(|letter| letter.is_alphanumeric()).collect();
        bare.to_lowercase()
    };
    let document = fs::read_to_string(tree().join("docs/configuration.md")).unwrap();
    let (agent, cluster) = document.split_once("## The cluster file").unwrap();
    for (part, name) in [(agent, "agent.toml.5"), (cluster, "cluster.toml.5")] {
        let lines: Vec<String> =
            page(name).replace("\\(aq", "'").lines().filter(|line| !line.starts_with('.')).map(plain).collect();
        let text = words(&lines.join(" "));
        for row in part.lines().filter(|line| line.starts_with("| `") && !line.contains("](")) {
            let what = row.trim_end_matches([' ', '|']).rsplit(" | ").next().expect("split has one");
            assert!(text.contains(&words(what)), "{name} lacks: {what}");
        }
        let prose = part.lines().filter(|line| !line.contains("](") && !line.starts_with(['#', '|', '`']));
        // What is told of a TOML table stands below its name there.
        let prose = prose.map(|line| line.split_once("`**: ").map_or(line, |(_, told)| told));
        for line in prose.map(words).filter(|line| line.len() > 20) {
            assert!(text.contains(&line), "{name} lacks: {line}");
        }
    }
}

/// The pages in a folder of their own; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lvs-pages-{name}-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn groff_and_mandoc_have_no_warning_and_lines_fit_80_columns() {
    let folder = Folder::new("lint");
    write(&folder.0, &pages()).unwrap();
    let groff: (&str, &[&str]) = ("groff", &["-ww", "-man", "-Tutf8", "-rLL=78n", "-P-cbou"]);
    for (program, options) in [groff, ("mandoc", &["-Tlint"])] {
        for (file, _) in pages() {
            let output = match Program::new(program).args(options).arg(folder.0.join(&file)).output() {
                Ok(output) => output,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    report::note(format!("skipped: {program} is not installed"));
                    break;
                }
                Err(error) => panic!("{program}: {error}"),
            };
            let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            if program == "mandoc" {
                assert_eq!(format!("{text}{said}"), "", "{file}");
                continue;
            }
            assert!(said.is_empty() && output.status.success(), "{file}: {said}");
            assert!(text.lines().count() > 20, "{file}: {text}");
            let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(long.is_empty(), "{file}: {long:?}");
            assert!(!text.contains('\u{2010}'), "{file}: a word is cut:\n{text}");
        }
    }
}

#[test]
fn the_date_is_the_releases_or_that_of_the_sources() {
    let changelog = "# Changelog\n\n## Unreleased\n\n## [1.2.3] - 2026-03-04\n- x\n\n## 1.2 - 2025-01-01\n";
    assert_eq!(date(None, changelog, "1.2.3").unwrap(), "2026-03-04");
    assert_eq!(date(None, changelog, "1.2").unwrap(), "2025-01-01");
    assert_eq!(date(None, changelog, "1.3.0").unwrap(), "");
    assert_eq!(date(Some("86400"), changelog, "1.2.3").unwrap(), "1970-01-02");
    assert!(date(Some("today"), changelog, "1.2.3").unwrap_err().to_string().contains("no Unix time: `today`"));
}

#[test]
fn a_folder_with_other_files_is_refused_and_stays_as_it_is() {
    let folder = Folder::new("others");
    let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "text".to_owned())).collect::<Vec<_>>();
    write(&folder.0, &files(&["a.8", "b.8"])).unwrap();
    write(&folder.0, &files(&["a.8", "b.8"])).unwrap();
    let error = write(&folder.0, &files(&["a.8", "c.8"])).unwrap_err().to_string();
    assert!(error.contains("b.8 is none of these files"), "{error}");
    assert!(!folder.0.join("c.8").exists());
}

#[test]
fn a_page_refers_to_those_that_it_speaks_of() {
    let commands = ["node", "plan", "no"].map(str::to_owned);
    let found = references("see `lvs-agent node list` and the cluster file; not lvs-agent planned", &commands);
    assert_eq!(found, [(8, "lvs-agent-node".to_owned()), (5, "cluster.toml".to_owned())]);
}
