//! Tells the service manager (sd_notify(3)), and never waits for it: a manager that does not read must not cost a lease.

use crate::guard::report::Word;
use sd_notify::NotifyState;
use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// What the service manager puts into the environment, and what is not for the worker: only the guard speaks to it.
pub const ENVIRONMENT: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct ServiceManager {
    way: Option<(UnixDatagram, SocketAddr)>,
    patience: Option<Duration>,
}

impl ServiceManager {
    /// The one that started this process, as its environment says.
    pub fn from_environment() -> Self {
        let way = env::var_os(ENVIRONMENT[0]).and_then(|path| match way(path.as_bytes()) {
            Ok(way) => Some(way),
            Err(error) => {
                tracing::warn!(%error, ?path, "cannot speak to the service manager");
                None
            }
        });
        Self { patience: way.as_ref().and_then(|_| sd_notify::watchdog_enabled()), way }
    }

    /// After how long a silence it kills this process, if it does.
    pub fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Tells it, now or not at all.
    pub fn tell(&self, words: &[Word]) {
        let states = words.iter().map(|word| match word {
            Word::Ready => NotifyState::Ready,
            Word::Status(status) => NotifyState::Status(status),
            Word::Alive => NotifyState::Watchdog,
        });
        self.send(&states.map(|state| format!("{state}\n")).collect::<String>());
    }

    /// This process is on its way out.
    pub fn stopping(&self) {
        self.send(&format!("{}\n", NotifyState::Stopping));
    }

    fn send(&self, text: &str) {
        let Some((socket, to)) = &self.way else { return };
        if text.is_empty() {
            return;
        }
        if let Err(error) = socket.send_to_addr(text.as_bytes(), to) {
            tracing::debug!(%error, "service manager not told");
        }
    }
}

/// A path, or with `@` in front a name in the abstract namespace.
fn way(path: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let to = match path {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &str) -> (UnixDatagram, ServiceManager) {
        let name = format!("lvs-agent-notify-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let reader = UnixDatagram::bind_addr(&address).unwrap();
        (reader, ServiceManager { way: Some(way(format!("@{name}").as_bytes()).unwrap()), patience: None })
    }

    #[test]
    fn words_arrive_in_one_datagram() {
        let (reader, manager) = manager("words");
        manager.tell(&[]);
        manager.tell(&[Word::Ready, Word::Status("holds no vip".to_owned()), Word::Alive]);
        let mut buffer = [0; 200];
        let length = reader.recv(&mut buffer).unwrap();
        assert_eq!(std::str::from_utf8(&buffer[..length]).unwrap(), "READY=1\nSTATUS=holds no vip\nWATCHDOG=1\n");
    }

    #[test]
    fn a_manager_that_does_not_read_is_not_waited_for() {
        let (reader, manager) = manager("deaf");
        // Far beyond any queue (net.unix.max_dgram_qlen); a blocking send would never come back.
        for _ in 0..10_000 {
            manager.tell(&[Word::Alive]);
        }
        drop(reader);
        manager.stopping();
    }
}
