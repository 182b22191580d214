//! Every file of `examples/`, and every complete one that the documents show, is valid.

use super::{AgentConfig, Problems, cluster};
use crate::model::check::CheckKind;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Which of the two files a text is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Agent,
    Cluster,
}

fn read(kind: Kind, place: &str, text: &str) -> Result<(), Problems> {
    match kind {
        Kind::Agent => AgentConfig::parse(place, text, "lb1").map(drop),
        Kind::Cluster => cluster::parse_to_apply(place, text, false).map(drop),
    }
}

fn examples() -> Vec<(Kind, PathBuf)> {
    let entries = fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let kind = |path: &Path| match path.file_name().unwrap().to_str().unwrap() {
        name if name.starts_with("agent-") => Kind::Agent,
        name if name.starts_with("cluster-") => Kind::Cluster,
        name => panic!("{name} begins neither with agent- nor with cluster-"),
    };
    files.map(|path| (kind(&path), path)).collect()
}

/// The blocks of a document that are marked as TOML, without the indentation of their list.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(indent) = line.strip_suffix("```toml") {
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            blocks.push(inside.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect());
        }
    }
    blocks
}

/// What a block is, if it is a complete file: a part, such as a table alone, is none.
fn kind_of(block: &str) -> Option<Kind> {
    if block.contains("[[vip]]") {
        Some(Kind::Cluster)
    } else {
        block.lines().any(|line| line.starts_with("roles = ")).then_some(Kind::Agent)
    }
}

#[test]
fn every_example_is_valid() {
    let examples = examples();
    for wanted in [Kind::Agent, Kind::Cluster] {
        assert!(examples.iter().any(|(kind, _)| *kind == wanted), "no example of {wanted:?}");
    }
    for (kind, path) in examples {
        let text = fs::read_to_string(&path).unwrap();
        read(kind, &path.display().to_string(), &text).unwrap_or_else(|problems| panic!("{}", problems.lines().join("\n")));
    }
}

#[test]
fn every_script_that_an_example_names_is_there() {
    let mut found = 0;
    for (_, path) in examples().into_iter().filter(|(kind, _)| *kind == Kind::Cluster) {
        let rules = cluster::parse("cluster.toml", &fs::read_to_string(&path).unwrap()).unwrap();
        for check in rules.services.values().filter_map(|service| service.check.as_ref()) {
            if let CheckKind::Script { script, .. } = &check.kind {
                found += 1;
                let file = root().join("examples/checks").join(script.as_str());
                assert!(file.is_file(), "{} names {script}, which is not in examples/checks", path.display());
            }
        }
    }
    assert!(found > 0, "no example has a script check");
}

#[test]
fn complete_files_that_the_documents_show_are_valid() {
    let mut found = Vec::new();
    for place in ["README.md", "docs/configuration.md"] {
        for block in blocks(&fs::read_to_string(root().join(place)).unwrap()) {
            if let Some(kind) = kind_of(&block) {
                found.push(kind);
                read(kind, place, &block).unwrap_or_else(|problems| panic!("{}\n{block}", problems.lines().join("\n")));
            }
        }
    }
    assert!(found.contains(&Kind::Agent) && found.contains(&Kind::Cluster), "{found:?}");
}
