//! Small files that are the old content or the new, never a part, and nobody else's to read.

use super::FileError;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
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

/// Replaces the file, and returns when the new content is on the disk.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let write = || {
        // What is left of a write that a power cut ended. Then exclusively: never through a link that somebody put there.
        gone(fs::remove_file(unfinished))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        sync_directory(path)
    };
    write().map_err(failed("write", path))
}

/// Removes the file for good; no matter if it is not there.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    gone(fs::remove_file(path)).and_then(|()| sync_directory(path)).map_err(failed("remove", path))
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
    gone(overwrite()).map_err(failed("remove", path))?;
    remove(path)
}

fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
