//! The pages of section 8, made of the command line's definition and its help texts.

use super::help::{Help, Part};
use super::page::{Page, Stamp, fitting, prose, reference};
use super::{references, visible};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use roff::{Inline, bold, italic, roman};

/// All pages of section 8 with their file names. `root` is built.
pub fn pages(root: &Command, stamp: &Stamp) -> Result<Vec<(String, String)>> {
    let names: Vec<String> = visible(root).map(|command| command.get_name().to_owned()).collect();
    let mut pages = vec![("lvs-agent.8".to_owned(), overview(root, stamp)?)];
    for command in visible(root) {
        let name = format!("lvs-agent-{}", command.get_name());
        let page = one(command, &name, stamp, &names).with_context(|| format!("page {name}(8)"))?;
        pages.push((format!("{name}.8"), page));
    }
    Ok(pages)
}

/// lvs-agent(8).
fn overview(root: &Command, stamp: &Stamp) -> Result<String> {
    let help = help_of(root)?;
    let mut page = Page::new("lvs-agent", 8, stamp);
    name(&mut page, root)?;
    let lines = vec![
        vec![
            bold("lvs-agent"),
            roman(" ["),
            italic("OPTION"),
            roman("...] "),
            italic("COMMAND"),
            roman(" ["),
            italic("ARGUMENT"),
            roman("...]"),
        ],
        vec![bold("lvs-agent"), roman(" "), bold("--help"), roman(" | "), bold("--version")],
        vec![bold("lvs-agent"), roman(" "), bold("help"), roman(" ["), italic("COMMAND"), roman("...]")],
    ];
    page.section("SYNOPSIS").lines(lines);
    page.section("DESCRIPTION");
    let about = root.get_long_about().or(root.get_about()).context("the command line says nothing about itself")?.to_string();
    for paragraph in about.split("\n\n") {
        page.paragraph(prose(&paragraph.replace('\n', " ")));
    }
    describe(&mut page, &help)?;
    page.section("COMMANDS");
    for command in visible(root) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let mut said = prose(&format!("{about}. See "));
        said.extend(reference(&format!("lvs-agent-{}", command.get_name()), 8));
        said.push(roman("."));
        page.tagged(vec![bold(command.get_name())], vec![said]);
    }
    page.add(&options(root, |_| false)?);
    columns(&mut page, "FIRST STEPS", &help.first_steps, bold);
    page.section("ENVIRONMENT");
    environment(&mut page, root);
    columns(&mut page, "FILES", &help.files, italic);
    columns(&mut page, "EXIT STATUS", &help.exit_codes, bold);
    examples(&mut page, &help)?;
    let mut others: Vec<(u8, String)> = visible(root).map(|command| (8, format!("lvs-agent-{}", command.get_name()))).collect();
    others.extend([(5, "agent.toml".to_owned()), (5, "cluster.toml".to_owned()), (8, "ipvsadm".to_owned())]);
    page.see_also(others);
    page.paragraph(vec![
        roman("Operations, security and troubleshooting: the documents in "),
        italic("/usr/share/doc/lvs-agent/"),
        roman("."),
    ]);
    Ok(page.finish())
}

/// The page of one command, or of a group of commands with each of them.
fn one(command: &Command, title: &str, stamp: &Stamp, names: &[String]) -> Result<String> {
    let help = help_of(command)?;
    let mut page = Page::new(title, 8, stamp);
    name(&mut page, command)?;
    let forms = if command.has_subcommands() { visible(command).map(synopsis).collect() } else { vec![synopsis(command)] };
    page.section("SYNOPSIS").lines(forms);
    page.section("DESCRIPTION");
    describe(&mut page, &help)?;
    if help.description.is_empty() {
        page.paragraph(prose(&format!("{}.", command.get_about().map(ToString::to_string).unwrap_or_default())));
    }
    let mut texts = vec![text_of(command)];
    if command.has_subcommands() {
        page.section("COMMANDS");
        for member in visible(command) {
            texts.push(text_of(member));
            part(&mut page, member).with_context(|| format!("its command {}", member.get_name()))?;
        }
    }
    page.add(&options(command, |_| false)?);
    page.section("EXIT STATUS");
    for (code, what) in &help.exit_codes {
        page.tagged(vec![bold(code)], vec![prose(what)]);
    }
    let before = if help.exit_codes.is_empty() { "The exit status is one of those in " } else { "All exit statuses: " };
    page.paragraph([vec![roman(before)], reference("lvs-agent", 8), vec![roman(".")]].concat());
    examples(&mut page, &help)?;
    let mut others = references(&texts.join(" "), names);
    others.push((8, "lvs-agent".to_owned()));
    others.retain(|(_, other)| other != title);
    page.see_also(others);
    Ok(page.finish())
}

/// One command in the page of its group.
fn part(page: &mut Page, command: &Command) -> Result<()> {
    let help = help_of(command)?;
    page.subsection(command.get_bin_name().unwrap_or(command.get_name()));
    page.paragraph(synopsis(command));
    describe(page, &help)?;
    // Those of all commands stand at the end of the page.
    let common = |argument: &Arg| argument.is_global_set() || is_automatic(argument);
    page.add(options(command, common)?.trim_start_matches(".SH OPTIONS\n"));
    if !help.exit_codes.is_empty() {
        page.paragraph(prose("Exit statuses:"));
        for (code, what) in &help.exit_codes {
            page.tagged(vec![bold(code)], vec![prose(what)]);
        }
    }
    if !help.examples.is_empty() {
        page.paragraph(prose("For example:")).example(&fitting(&help.examples)?);
    }
    Ok(())
}

fn name(page: &mut Page, command: &Command) -> Result<()> {
    let about = command.get_about().map(ToString::to_string).context("a command says nothing about itself")?;
    let mut letters = about.chars();
    let lower: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    let mut roff = Vec::new();
    Man::new(command.clone().about(lower)).render_name_section(&mut roff)?;
    page.add(&String::from_utf8(roff)?);
    Ok(())
}

/// The options as clap_mangen writes them, without those to leave out.
fn options(command: &Command, leave_out: impl Fn(&Arg) -> bool) -> Result<String> {
    let hide = |argument: Arg| if leave_out(&argument) { argument.hide(true) } else { argument };
    let mut roff = Vec::new();
    Man::new(command.clone().mut_args(hide)).render_options_section(&mut roff)?;
    Ok(super::source::without_preamble(&String::from_utf8(roff)?).to_owned())
}

/// `--help` and `--version`.
fn is_automatic(argument: &Arg) -> bool {
    use ArgAction::{Help, HelpLong, HelpShort, Version};
    matches!(argument.get_action(), Help | HelpLong | HelpShort | Version)
}

/// How a command is written, with its own options.
fn synopsis(command: &Command) -> Vec<Inline> {
    let mut line = vec![bold(command.get_bin_name().unwrap_or(command.get_name()))];
    let own = |argument: &&Arg| !argument.is_hide_set() && !argument.is_global_set() && !is_automatic(argument);
    let (places, options): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(own).partition(|argument| argument.is_positional());
    for argument in options.into_iter().chain(places) {
        let (open, close) = if argument.is_required_set() { ("", "") } else { ("[", "]") };
        line.push(roman(format!(" {open}")));
        let values = argument.get_num_args().filter(|range| range.takes_values());
        let several = argument.is_positional() && values.is_some_and(|range| range.max_values() > 1);
        if let Some(long) = argument.get_long() {
            line.push(bold(format!("--{long}")));
        }
        if let Some(range) = values {
            let optional = range.min_values() == 0 && !argument.is_positional();
            // A space at which no line is broken.
            let before = if argument.is_positional() { "" } else { "\u{a0}" };
            line.push(roman(format!("{before}{}", if optional { "[" } else { "" })));
            line.push(italic(
                argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            ));
            line.push(roman(if optional { "]" } else { "" }));
        }
        line.push(roman(format!("{}{close}", if several { "..." } else { "" })));
    }
    line
}

fn describe(page: &mut Page, help: &Help) -> Result<()> {
    for part in &help.description {
        match part {
            Part::Paragraph(text) => page.paragraph(prose(text)),
            Part::Code(lines) => page.example(&fitting(lines)?),
            Part::Titled(title, lines) => page.paragraph(prose(&format!("{title}:"))).example(&fitting(lines)?),
        };
    }
    Ok(())
}

fn examples(page: &mut Page, help: &Help) -> Result<()> {
    if !help.examples.is_empty() {
        page.section("EXAMPLES").example(&fitting(&help.examples)?);
    }
    Ok(())
}

fn columns(page: &mut Page, title: &str, rows: &[(String, String)], tag: fn(String) -> Inline) {
    if rows.is_empty() {
        return;
    }
    page.section(title);
    for (left, right) in rows {
        page.tagged(vec![tag(left.clone())], vec![prose(right)]);
    }
}

/// The environment of all commands, from their options.
fn environment(page: &mut Page, root: &Command) {
    let mut seen: Vec<String> = Vec::new();
    let mut tell = |page: &mut Page, argument: &Arg, place: Option<&str>| {
        let (Some(variable), Some(long)) = (argument.get_env(), argument.get_long()) else { return };
        let variable = variable.to_string_lossy().into_owned();
        if argument.is_hide_set() || argument.is_hide_env_set() || seen.contains(&variable) {
            return;
        }
        let mut said = vec![roman("Stands for "), bold(format!("--{long}"))];
        if let Some(place) = place {
            said.push(roman(" of "));
            said.extend(reference(place, 8));
        }
        said.push(roman(" where that is not given."));
        page.tagged(vec![bold(variable.clone())], vec![said]);
        seen.push(variable);
    };
    for argument in root.get_arguments() {
        tell(page, argument, None);
    }
    for command in visible(root) {
        let place = format!("lvs-agent-{}", command.get_name());
        let members = visible(command).flat_map(Command::get_arguments);
        for argument in command.get_arguments().chain(members) {
            tell(page, argument, Some(&place));
        }
    }
    // What src/cli/terminal.rs looks at.
    page.tagged(vec![bold("NO_COLOR")], vec![prose("If it is set to something, no colours are written.")]);
}

fn text_of(command: &Command) -> String {
    let after = command.get_after_long_help().or(command.get_after_help());
    after.map(ToString::to_string).unwrap_or_default()
}

fn help_of(command: &Command) -> Result<Help> {
    Help::read(&text_of(command)).with_context(|| format!("help of `{}`", command.get_bin_name().unwrap_or(command.get_name())))
}
