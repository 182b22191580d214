//! The unix socket: only root and the agent's own user may connect. It is taken over only from an agent that has ended.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// Why the agent cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another agent listens on it already.
    #[error("another agent listens on {} already", .0.display())]
    InUse(PathBuf),
    /// The path exists and is no socket.
    #[error("{} is there and is no socket: move it away, or set another `socket` in agent.toml", .0.display())]
    NotASocket(PathBuf),
    /// The operating system refused.
    #[error("cannot listen on {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A listening admin socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct AdminListener {
    inner: UnixListener,
    path: PathBuf,
}

impl AdminListener {
    /// Listens on `path`; makes its directory (0755) if need be, and replaces a socket on which no process listens any more.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        }
        remove_stale(path)?;
        let inner = UnixListener::bind(path).map_err(failed)?;
        // Between bind and chmod the peer check below already keeps others out.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// The next connection whose peer is allowed. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.inner.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if is_allowed(peer.uid()) => return Ok(stream),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "admin connection of another user refused"),
                Err(error) => tracing::warn!(%error, "admin connection without credentials refused"),
            }
        }
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        // A missing file does no harm; the next agent removes a stale one.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_allowed(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    // A local connect returns at once: it is queued, or refused when no process listens.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Accepted, or refused although a process listens (its queue is full, for instance).
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}
