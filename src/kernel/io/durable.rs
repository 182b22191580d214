//! Small files that survive a power cut whole, with the old content or the new.

use crate::kernel::DataPlaneError;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

/// Most bytes that are read. No record of the agent is nearly as long.
const MOST_BYTES: u64 = 1 << 20;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataPlaneError {
    move |source| DataPlaneError::File { doing, path: path.to_owned(), source }
}

/// Replaces the file. The new content is on the disk when this returns.
pub fn write(path: &Path, content: &[u8]) -> Result<(), DataPlaneError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_directory(path)
    };
    write().map_err(failed("write", path))
}

/// The file's content; `None` when there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, DataPlaneError> {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Removes the file, if it is there. That is on the disk when this returns.
pub fn remove(path: &Path) -> Result<(), DataPlaneError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path).map_err(failed("remove", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
