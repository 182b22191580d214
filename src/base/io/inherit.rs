//! Passes an open file to a child process: its number stands in an environment variable.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Why no file was inherited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotInherited {
    /// The environment variable is not set.
    #[error("no file was inherited")]
    NotThere,
    /// The variable names no open file.
    #[error("the inherited number is no open file")]
    Unusable,
}

/// Keeps `fd` open across an exec. It may be called between fork and exec: it is one system call.
///
/// # Errors
/// The system's.
///
/// # Safety
/// `fd` is open.
pub unsafe fn keep_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: open, says the caller.
    Ok(fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::empty())?)
}

/// Takes the file whose number stands in `variable`, and closes it on exec from now on. Call it once for each variable, before this process opens
/// files of its own: the number is not checked further.
///
/// # Errors
/// There is no such file.
pub fn take(variable: &str) -> Result<OwnedFd, NotInherited> {
    let text = std::env::var(variable).map_err(|_| NotInherited::NotThere)?;
    let number = text.parse::<RawFd>().ok().filter(|fd| *fd > 2).ok_or(NotInherited::Unusable)?;
    // SAFETY: borrowed only to ask whether it is open at all; every call on it can fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).and_then(|_| fcntl_setfd(borrowed, FdFlags::CLOEXEC)).map_err(|_| NotInherited::Unusable)?;
    // SAFETY: it is open, the parent passed it to this process for this purpose, and nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
