//! `lvs-pages`: man pages and shell completions of the package, made of what exists: the command line's definition and docs/configuration.md.
//!
//! # Map
//! `commands` makes the pages of section 8 of the help texts (`help` takes those apart), `formats` those of section 5 of the document (`markdown`
//! reads it), `page` is one page in the making, `source` makes its text clean, `completions` is for the shells.

mod commands;
mod completions;
mod formats;
mod help;
mod markdown;
mod page;
mod source;

use crate::lab::report;
use anyhow::{Context, Result, bail};
use clap::{Command, CommandFactory, Parser};
use page::Stamp;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};
use time::{OffsetDateTime, macros::format_description};

/// Writes the man pages and shell completions of lvs-agent.
///
/// The date of the pages is SOURCE_DATE_EPOCH if that is set, or else the day that CHANGELOG.md gives for this version; without either they have none.
#[derive(Parser, Debug)]
#[command(name = "lvs-pages")]
struct Args {
    /// A folder of their own: pages go to OUT_DIR/man, completions to OUT_DIR/completions.
    out_dir: PathBuf,
}

/// Parses the arguments and writes all files.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args.out_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::note(format!("lvs-pages: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(out: &Path) -> Result<()> {
    let tree = tree();
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let changelog = fs::read_to_string(tree.join("CHANGELOG.md")).context("cannot read CHANGELOG.md")?;
    let version = lvs_agent::cli::Args::command().get_version().context("lvs-agent has no version")?.to_owned();
    let stamp = Stamp { date: date(epoch.as_deref(), &changelog, &version)?, version };
    write(&out.join("man"), &manual(&tree, &stamp)?)?;
    write(&out.join("completions"), &completions::files(&lvs_agent::cli::Args::command())?)
}

/// The project's root.
fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member lies in its workspace").to_owned()
}

/// All pages with their file names.
fn manual(tree: &Path, stamp: &Stamp) -> Result<Vec<(String, String)>> {
    let mut root = lvs_agent::cli::Args::command();
    root.build();
    let names: Vec<String> = visible(&root).map(|command| command.get_name().to_owned()).collect();
    let mut pages = commands::pages(&root, stamp)?;
    pages.extend(formats::pages(tree, stamp, &names)?);
    Ok(pages)
}

/// The commands below a command that users see, without the `help` that clap adds.
fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// The pages that a text speaks of.
fn references(text: &str, commands: &[String]) -> Vec<(u8, String)> {
    let spoken = |name: &&String| {
        let words = format!("lvs-agent {name}");
        text.match_indices(&words)
            .any(|(at, _)| !text[at + words.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '-'))
    };
    let mut pages: Vec<(u8, String)> = commands.iter().filter(spoken).map(|name| (8, format!("lvs-agent-{name}"))).collect();
    for (page, words) in [("agent.toml", &["agent.toml"][..]), ("cluster.toml", &["cluster.toml", "cluster file"])] {
        if words.iter().any(|word| text.contains(word)) {
            pages.push((5, page.to_owned()));
        }
    }
    pages
}

/// The date of the pages: never today's, so that the same sources give the same pages.
fn date(epoch: Option<&str>, changelog: &str, version: &str) -> Result<String> {
    if let Some(epoch) = epoch {
        let seconds = epoch.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let day = seconds.with_context(|| format!("SOURCE_DATE_EPOCH is no Unix time: `{epoch}`"))?.date();
        return Ok(day.format(format_description!("[year]-[month]-[day]"))?);
    }
    let heading = |line: &str| {
        let rest = line.strip_prefix("## ")?.trim_start_matches('[').strip_prefix(version)?;
        rest.strip_prefix(']').unwrap_or(rest).strip_prefix(" - ").map(|day| day.trim().to_owned())
    };
    Ok(changelog.lines().find_map(heading).unwrap_or_default())
}

/// Writes the files into a folder that has no others: what was left of another version would be packaged with them.
fn write(folder: &Path, files: &[(String, String)]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))? {
        let name = entry?.file_name();
        if !files.iter().any(|(file, _)| name == file.as_str()) {
            bail!("{} is none of these files: remove it, or name another folder", folder.join(name).display());
        }
    }
    for (file, text) in files {
        let path = folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
