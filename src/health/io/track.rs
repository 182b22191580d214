//! Looks at what tracks name: a file, an interface. Scripts are run by the script runner.

use crate::{
    health::track::Look,
    kernel::io::address::Addresses,
    model::{FileExpectation, Track, TrackKind},
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
    time::Duration,
};
use tokio::{task::JoinHandle, time::timeout};

use super::script::ScriptRunner;

/// Longest number in a file, with blanks around it.
const MAX_NUMBER_BYTES: u64 = 64;

/// Looks at one track, again and again.
#[derive(Debug)]
pub struct Looker {
    scripts: ScriptRunner,
    addresses: Option<Addresses>,
    /// A file that hangs, as on a network file system that is gone, holds up one thread and no more.
    under_way: Option<JoinHandle<Look>>,
}

impl Looker {
    /// Scripts are run by `scripts`.
    pub fn new(scripts: ScriptRunner) -> Self {
        Self { scripts, addresses: None, under_way: None }
    }

    /// Looks once. Ends within the track's timeout; a script that runs into it ends a little later.
    pub async fn look(&mut self, track: &Track) -> Look {
        match &track.kind {
            TrackKind::Script { script, args } => self.scripts.track(&track.name, script, args, track.timeout).await,
            TrackKind::File { path, expects } => {
                let (path, expects) = (path.clone(), *expects);
                let reading = self.under_way.take().unwrap_or_else(|| tokio::task::spawn_blocking(move || file(&path, expects)));
                self.wait(reading, track.timeout).await
            }
            TrackKind::Interface(interface) => {
                let asked = timeout(track.timeout, self.carrier(interface)).await;
                asked.unwrap_or_else(|_| too_late(track.timeout))
            }
        }
    }

    async fn wait(&mut self, mut reading: JoinHandle<Look>, limit: Duration) -> Look {
        match timeout(limit, &mut reading).await {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => Look::Failed(error.to_string()),
            Err(_) => {
                self.under_way = Some(reading);
                too_late(limit)
            }
        }
    }

    async fn carrier(&mut self, interface: &str) -> Look {
        let addresses = match self.addresses.take() {
            Some(addresses) => addresses,
            None => match Addresses::open() {
                Ok(addresses) => addresses,
                Err(error) => return Look::Failed(error.to_string()),
            },
        };
        match self.addresses.insert(addresses).has_carrier(interface).await {
            Ok(Some(true)) => Look::Passed,
            Ok(Some(false)) => Look::Failed(format!("{interface} has no carrier")),
            Ok(None) => Look::Failed(format!("there is no interface {interface}")),
            Err(error) => Look::Failed(error.to_string()),
        }
    }
}

fn too_late(limit: Duration) -> Look {
    Look::Failed(format!("no answer within {} ms", limit.as_millis()))
}

fn file(path: &Path, expects: FileExpectation) -> Look {
    let shown = path.display();
    match (expects, std::fs::metadata(path)) {
        (_, Err(error)) if error.kind() != ErrorKind::NotFound => Look::Failed(format!("cannot look at {shown}: {error}")),
        (FileExpectation::Present, Ok(_)) | (FileExpectation::Absent, Err(_)) => Look::Passed,
        (FileExpectation::Present, Err(_)) => Look::Failed(format!("{shown} is not there")),
        (FileExpectation::Absent, Ok(_)) => Look::Failed(format!("{shown} is there")),
        (FileExpectation::Number, Err(_)) => Look::Number(0),
        // Opening a pipe would wait for whoever writes to it.
        (FileExpectation::Number, Ok(found)) if !found.is_file() => Look::Failed(format!("{shown} is no file")),
        (FileExpectation::Number, Ok(_)) => match number(path) {
            Ok(Some(number)) => Look::Number(number),
            Ok(None) => Look::Failed(format!("{shown} holds no whole number")),
            Err(error) => Look::Failed(format!("cannot read {shown}: {error}")),
        },
    }
}

fn number(path: &Path) -> io::Result<Option<i64>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_NUMBER_BYTES + 1).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim().parse().ok().filter(|_| bytes.len() as u64 <= MAX_NUMBER_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(kind: TrackKind) -> Track {
        let second = Duration::from_secs(1);
        let (name, vips) = ("t".parse().unwrap(), Default::default());
        Track { name, kind, interval: second, timeout: second, fall: 1, rise: 1, weight: None, vips }
    }

    async fn look(kind: TrackKind) -> Look {
        Looker::new(ScriptRunner::off()).look(&track(kind)).await
    }

    #[tokio::test]
    async fn a_file_is_there_or_not_and_holds_a_number() {
        let dir = std::env::temp_dir().join(format!("lvs-track-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (there, absent) = (dir.join("there"), dir.join("absent"));
        let file = |path: &Path, expects| TrackKind::File { path: path.to_owned(), expects };
        for (text, found) in [
            ("7\n", Look::Number(7)),
            (" -12 ", Look::Number(-12)),
            ("", Look::Failed(format!("{} holds no whole number", there.display()))),
            ("7.5", Look::Failed(format!("{} holds no whole number", there.display()))),
            (&format!("1{}", " ".repeat(64)), Look::Failed(format!("{} holds no whole number", there.display()))),
        ] {
            std::fs::write(&there, text).unwrap();
            assert_eq!(look(file(&there, FileExpectation::Number)).await, found, "{text:?}");
        }
        assert_eq!(look(file(&absent, FileExpectation::Number)).await, Look::Number(0));
        assert_eq!(look(file(&there, FileExpectation::Present)).await, Look::Passed);
        assert_eq!(look(file(&absent, FileExpectation::Absent)).await, Look::Passed);
        assert_eq!(
            look(file(&absent, FileExpectation::Present)).await,
            Look::Failed(format!("{} is not there", absent.display()))
        );
        assert_eq!(look(file(&there, FileExpectation::Absent)).await, Look::Failed(format!("{} is there", there.display())));
        assert_eq!(look(file(&dir, FileExpectation::Number)).await, Look::Failed(format!("{} is no file", dir.display())));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_fails() {
        let found = look(TrackKind::Interface("no-such-if".to_owned())).await;
        assert_eq!(found, Look::Failed("there is no interface no-such-if".to_owned()));
    }

    #[tokio::test]
    async fn without_a_runner_a_script_fails_and_says_what_is_off() {
        let found = look(TrackKind::Script { script: "a".parse().unwrap(), args: Vec::new() }).await;
        assert_eq!(found, Look::Failed(crate::health::script::OFF.to_owned()));
    }
}
