//! Completions for the shells, without the commands that are hidden.

use super::visible;
use anyhow::{Context, Result};
use clap::Command;
use clap_complete::{Generator, Shell, generate};

/// The shells, and the names under which they look for completions.
const SHELLS: [(Shell, &str); 3] = [(Shell::Bash, "lvs-agent.bash"), (Shell::Zsh, "_lvs-agent"), (Shell::Fish, "lvs-agent.fish")];

/// All completions with their file names. `root` is not built yet.
pub fn files(root: &Command) -> Result<Vec<(String, String)>> {
    let shown = shown(root);
    let write = |(shell, file): (Shell, &str)| {
        debug_assert_eq!(shell.file_name("lvs-agent"), file);
        let mut text = Vec::new();
        generate(shell, &mut shown.clone(), "lvs-agent", &mut text);
        let text = String::from_utf8(text).with_context(|| format!("{file} is no text"))?;
        // clap_complete writes the hyphen of our name in two ways, and then completes nothing after a command (clap-rs/clap#6421).
        let text = text.replace("lvs__subcmd__agent", "lvs__agent");
        Ok((file.to_owned(), text))
    };
    SHELLS.into_iter().map(write).collect()
}

/// The command line as users see it: clap_complete offers hidden commands, too.
fn shown(root: &Command) -> Command {
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    // All packages of the workspace have one version; it makes that --version is offered.
    let shown = Command::new("lvs-agent").version(env!("CARGO_PKG_VERSION")).about(about).subcommand_required(true);
    shown.args(root.get_arguments().cloned()).subcommands(visible(root).cloned())
}
