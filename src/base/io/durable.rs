//! Small files that survive a power cut whole: the old content or the new, never a part. Only their owner may read them, unless they are written for all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What could not be done with a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", path.display())]
pub struct FileFault {
    /// read, write, remove.
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileFault {
    move |source| FileFault { doing, path: path.to_owned(), source }
}

/// Replaces the file, and returns when the new content is on the disk.
///
/// # Errors
/// What the file system says; the old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileFault> {
    replace(path, content, 0o600)
}

/// The same for a file that everybody may read, whatever the umask.
///
/// # Errors
/// What the file system says; the old content is then still there.
pub fn write_for_all(path: &Path, content: &[u8]) -> Result<(), FileFault> {
    replace(path, content, 0o644)
}

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), FileFault> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let write = || {
        // A write that a power cut ended may have left a file. The new one is made exclusively: never through a link that somebody put there.
        if_there(fs::remove_file(unfinished))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(unfinished)?;
        file.write_all(content)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        sync_parent(path)
    };
    write().map_err(failed("write", path))
}

/// The file's content, at most `limit` bytes of it; `None` when there is no such file.
///
/// # Errors
/// What the file system says, or that the file is longer.
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileFault> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit} bytes")));
        }
        Ok(content)
    };
    match read() {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Removes the file for good; no matter if it is not there.
///
/// # Errors
/// What the file system says.
pub fn remove(path: &Path) -> Result<(), FileFault> {
    if_there(fs::remove_file(path)).and_then(|()| sync_parent(path)).map_err(failed("remove", path))
}

/// A new or removed name is durable when its directory is.
///
/// # Errors
/// What the file system says.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Takes "there is no such file" for success.
///
/// # Errors
/// Any other error.
pub fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_by_its_owner_only_and_removed_once_or_twice() {
        let dir = std::env::temp_dir().join(format!("lvs-agent-durable-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("record");
        assert_eq!(read(&path, 10).unwrap(), None);
        fs::write(dir.join("record.new"), "half of an earlier write").unwrap();
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(read(&path, 3).unwrap().as_deref(), Some(&b"new"[..]));
        assert_eq!(read(&path, 2).unwrap_err().source.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        write_for_all(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(!dir.join("record.new").exists());
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(write(&dir.join("no such directory/record"), b"x").unwrap_err().to_string().starts_with("cannot write"));
        fs::remove_dir_all(dir).unwrap();
    }
}
