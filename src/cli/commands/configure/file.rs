//! The agent.toml that is there already: whether it may be replaced, what is lost with it, and the replacement.

use crate::{
    base::{errors::with_sources, io::durable},
    cli::{CommandFailure, Exit},
    config::{
        AgentConfig, LoadError,
        agent_file::{AgentFile, FileOrigin, TEMPLATE, keys},
        io::read_agent,
        parse_agent,
    },
};
use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use time::OffsetDateTime;

/// The file as it was found.
pub(super) struct FormerFile {
    /// Its text; `None`: there was no file.
    text: Option<String>,
    /// What it means, if it is valid.
    pub(super) config: Option<AgentConfig>,
}

/// That the file is to be replaced.
pub(super) struct Change {
    /// Where the former one is kept; `None`: there is nothing to keep.
    pub(super) backup: Option<PathBuf>,
}

impl FormerFile {
    pub(super) fn read(path: &Path) -> Result<Self, CommandFailure> {
        match read_agent(path) {
            Ok(text) => Ok(Self { config: parse_agent(path, &text).ok(), text: Some(text) }),
            Err(LoadError::Missing { .. }) => Ok(Self { text: None, config: None }),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the file has to be replaced; `None`: it says already what is wanted. A file that a person has edited is replaced by `force` alone.
    pub(super) fn change(&self, path: &Path, wanted: &AgentFile, force: bool) -> Result<Option<Change>, CommandFailure> {
        let Some(text) = &self.text else { return Ok(Some(Change { backup: None })) };
        let origin = FileOrigin::of(text);
        let says_it = self.config.as_ref().is_some_and(|config| wanted.is_said_by(config));
        if says_it && !(force && origin == FileOrigin::Edited) {
            return Ok(None);
        }
        if origin == FileOrigin::Edited && !force {
            return Err(refused(path, wanted));
        }
        Ok(Some(Change { backup: (text != TEMPLATE).then(|| unused(path)) }))
    }

    /// Says which keys of the former file the new one does not set.
    pub(super) fn lost(&self, new: &str, change: &Change) -> Option<String> {
        let backup = change.backup.as_ref()?;
        let (former, now) = (keys(self.text.as_ref()?)?, keys(new)?);
        let lost: Vec<&str> = former.difference(&now).map(String::as_str).collect();
        let kept = backup.display();
        (!lost.is_empty()).then(|| format!("the former file also set {}, the new one does not: see {kept}", lost.join(", ")))
    }

    /// Puts the new text into the file's place.
    pub(super) fn replace(&self, path: &Path, text: &str, change: &Change) -> Result<(), CommandFailure> {
        let failed = |line: String| {
            let mut failure = CommandFailure::new(Exit::Failed, line);
            if !rustix::process::geteuid().is_root() {
                failure.lines.push("run it as root".to_owned());
            }
            failure
        };
        make_folder(path).map_err(|error| failed(format!("cannot make the folder of {}: {error}", path.display())))?;
        if let (Some(backup), Some(former)) = (&change.backup, &self.text) {
            durable::write(backup, former.as_bytes()).map_err(|fault| failed(with_sources(&fault)))?;
        }
        // Where the file is a link, the file that it leads to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        durable::write_for_all(&target, text.as_bytes()).map_err(|fault| failed(with_sources(&fault)))
    }
}

/// The folder that everybody may look into, if it is not there.
fn make_folder(path: &Path) -> std::io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) else { return Ok(()) };
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    durable::sync_parent(folder)
}

fn refused(path: &Path, wanted: &AgentFile) -> CommandFailure {
    let lines = wanted.text();
    let settings = lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| format!("  {line}"));
    let mut lines =
        vec![format!("{} was edited by hand and is left as it is. Either set in it what it does not say yet:", path.display())];
    lines.extend(settings);
    lines.push("and `systemctl restart lvs-agent`, or say --force: it is then kept beside the new one".to_owned());
    CommandFailure { exit: Exit::Refused, lines }
}

/// A name beside the file that nothing has: with the time in UTC, and a number behind it if need be.
fn unused(path: &Path) -> PathBuf {
    let now = OffsetDateTime::now_utc();
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bak-{year:04}{:02}{day:02}-{hour:02}{minute:02}{second:02}", u8::from(month)));
    let numbered = |number: u32| {
        let mut name = name.clone();
        if number > 0 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let taken = |name: &PathBuf| !fs::symlink_metadata(name).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    (0..1000).map(numbered).find(|name| !taken(name)).unwrap_or_else(|| numbered(1000))
}
