//! Open files that a process hands down to the one it starts: by their number, in an environment variable.

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Why there is nothing that was handed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotInherited {
    /// The environment names none.
    #[error("nothing was handed down")]
    NotThere,
    /// What it names is no open file.
    #[error("what was handed down is no open file")]
    Unusable,
}

/// Between fork and exec: keeps `fd` open across the exec. A system call and nothing else.
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

/// Takes the file whose number stands in `variable`; from now on it is not handed down any further. Call it once for each variable, before
/// this process opens files of its own: it believes the number.
///
/// # Errors
/// There is none.
pub fn take(variable: &str) -> Result<OwnedFd, NotInherited> {
    let text = std::env::var(variable).map_err(|_| NotInherited::NotThere)?;
    let number = text.parse::<RawFd>().ok().filter(|fd| *fd > 2).ok_or(NotInherited::Unusable)?;
    // SAFETY: borrowed only to ask whether it is open at all; every call on it can fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(borrowed).and_then(|_| fcntl_setfd(borrowed, FdFlags::CLOEXEC)).map_err(|_| NotInherited::Unusable)?;
    // SAFETY: it is open, the parent passed it to this process for this purpose, and nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
