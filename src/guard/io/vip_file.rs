//! `guard-vips` in the data directory: which addresses this node's guard may have put on interfaces. After a crash the next guard takes them
//! off even where the kernel (before 5.18) cannot mark an address as ours.
//!
//! One `interface address` a line. Written by a thread of its own, because a disk that hangs must not keep the guard from its deadlines, and
//! without fsync: what a power cut takes from the page cache it takes from the interfaces too.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

/// Addresses by interface.
pub type Placed = BTreeSet<(String, IpAddr)>;

/// Longer files are not ours.
const MAX_BYTES: u64 = 1 << 20;

/// Writes the file each time the set changes.
#[derive(Debug)]
pub struct VipFile {
    writer: Sender<Placed>,
    last: Placed,
}

impl VipFile {
    /// The file's place in a data directory.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("guard-vips")
    }

    /// Starts the writing thread. `last` is what the file holds.
    pub fn open(data_dir: &Path, last: Placed) -> io::Result<Self> {
        let path = Self::path(data_dir);
        // Not bounded by a depth: the guard only sends when an operator changed the VIP groups, and the thread keeps only the newest.
        let (writer, sets) = channel();
        thread::Builder::new().name("guard-vips".to_owned()).spawn(move || write_all(&path, &sets))?;
        Ok(Self { writer, last })
    }

    /// Has the file say `placed`, soon.
    pub fn set(&mut self, placed: &Placed) {
        if self.last != *placed {
            self.last.clone_from(placed);
            // The thread only ends with this sender.
            let _ = self.writer.send(placed.clone());
        }
    }
}

fn write_all(path: &Path, sets: &Receiver<Placed>) {
    while let Ok(mut placed) = sets.recv() {
        while let Ok(newer) = sets.try_recv() {
            placed = newer;
        }
        if let Err(error) = write(path, &placed) {
            tracing::warn!(%error, path = %path.display(), "cannot note which vips are placed");
        }
    }
}

/// Replaces the file as a whole.
fn write(path: &Path, placed: &Placed) -> io::Result<()> {
    let mut text = String::new();
    for (interface, address) in placed {
        let _ = writeln!(text, "{interface} {address}");
    }
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

/// Has the file of a guard that is gone name no address.
pub fn clear(data_dir: &Path) -> io::Result<()> {
    write(&VipFile::path(data_dir), &Placed::new())
}

/// What the file says; nothing if there is none. A line that is not understood is skipped: sweeping too little is made good by the addresses'
/// own lifetimes.
pub fn read(data_dir: &Path) -> io::Result<Placed> {
    let path = VipFile::path(data_dir);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Placed::new()),
        Err(error) => return Err(error),
        Ok(found) if found.len() > MAX_BYTES => return Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => (),
    }
    Ok(fs::read_to_string(path)?.lines().filter_map(parse_line).collect())
}

fn parse_line(line: &str) -> Option<(String, IpAddr)> {
    let (interface, address) = line.split_once(' ')?;
    Some((interface.to_owned(), address.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_not_understood_is_skipped() {
        let dir = std::env::temp_dir().join(format!("lvs-agent-vips-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!(read(&dir).unwrap(), Placed::new());
        let placed: Placed =
            [("eth0".to_owned(), "192.0.2.10".parse().unwrap()), ("eth1".to_owned(), "2001:db8::1".parse().unwrap())].into();
        let path = VipFile::path(&dir);
        write(&path, &placed).unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + "eth2\n\neth3 nonsense\n").unwrap();
        assert_eq!(read(&dir).unwrap(), placed);
        clear(&dir).unwrap();
        assert_eq!(read(&dir).unwrap(), Placed::new());
        fs::remove_dir_all(dir).unwrap();
    }
}
