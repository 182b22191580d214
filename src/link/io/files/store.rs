//! Reading and wiping files that may hold a private key.

use super::FileError;
use crate::base::io::durable::{if_there, remove};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use zeroize::Zeroizing;

/// Far beyond any file of keys or certificates.
pub(super) const MOST_BYTES: u64 = 1 << 20;
/// What nobody but the owner may have of a private key.
const OTHERS: u32 = 0o077;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError::Io { path: path.to_owned(), doing, source }
}

/// The file's content; `None` when there is no such file. In a buffer that is wiped, for it may be a key.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    open(path)?.map(|file| content(file).map_err(failed("read", path))).transpose()
}

/// As [`read`], of a file that only its owner may read.
pub(super) fn read_secret(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mode = mode(&file).map_err(failed("read", path))?;
    if mode & OTHERS != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    content(file).map(Some).map_err(failed("read", path))
}

fn open(path: &Path) -> Result<Option<File>, FileError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// The permission bits of an open file.
pub(super) fn mode(file: &File) -> io::Result<u32> {
    Ok(file.metadata()?.permissions().mode() & 0o7777)
}

/// All of a file, if it is no longer than such files are.
pub(super) fn content(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len();
    if length > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{length} bytes are more than {MOST_BYTES}")));
    }
    // All at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Overwrites the file, then removes it.
pub(super) fn wipe(path: &Path) -> Result<(), FileError> {
    let overwrite = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len().min(MOST_BYTES);
        file.rewind()?;
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()
    };
    if_there(overwrite()).map_err(failed("remove", path))?;
    Ok(remove(path)?)
}
