//! Real files: what was written comes back; whatever is done to the file is found; nothing panics.

use super::*;
use crate::{
    raft::{io::scratch::Scratch, types::TypeConfig},
    rules::Command,
};
use openraft::{
    EntryPayload,
    testing::{blank_ent, log_id},
};
use std::{
    io::{Read, Seek, SeekFrom, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

fn id(index: u64) -> LogId {
    log_id::<TypeConfig>(1, 1, index)
}

fn stamp() -> LogOwner {
    LogOwner::new("0123456789abcdef", 1)
}

fn append(entry: Entry) -> DiskChange {
    DiskChange::Append { index: entry.log_id().index, sealed: seal_entry(&entry).unwrap() }
}

fn entry(index: u64) -> Entry {
    let change = Command::NodeLeft(format!("node-{index}").parse().unwrap());
    Entry { payload: EntryPayload::Normal(change), ..blank_ent::<TypeConfig>(1, 1, index) }
}

/// A log of 40 entries, written in several commits.
fn written(scratch: &Scratch) -> PathBuf {
    let path = scratch.path().join("raft.redb");
    Disk::create(&path, &stamp()).unwrap();
    let (disk, _) = Disk::open(&path, &stamp()).unwrap();
    for first in (0..40).step_by(8) {
        let changes: Vec<DiskChange> = (first..first + 8).map(|index| append(entry(index))).collect();
        disk.write(&changes).unwrap();
    }
    disk.write(&[DiskChange::Vote(Vote::new(3, 1)), DiskChange::Committed(Some(id(30)))]).unwrap();
    path
}

#[test]
fn what_is_written_comes_back() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let (disk, contents) = Disk::open(&path, &stamp()).unwrap();
    assert_eq!(contents.entries.keys().copied().collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
    assert!(contents.entries.iter().all(|(index, (found, _))| *found == entry(*index)));
    assert_eq!((contents.vote, contents.committed, contents.purged), (Some(Vote::new(3, 1)), Some(id(30)), None));

    let snapshot = StoredSnapshot { meta: SnapshotMeta { last_log_id: Some(id(9)), ..Default::default() }, data: vec![7; 1000] };
    let changes =
        [DiskChange::TruncateFrom(35), DiskChange::Snapshot(seal_snapshot(&snapshot).unwrap()), DiskChange::Purge(id(9))];
    disk.write(&changes).unwrap();
    drop(disk);
    let (_, contents) = Disk::open(&path, &stamp()).unwrap();
    assert_eq!(contents.entries.keys().copied().collect::<Vec<_>>(), (10..35).collect::<Vec<_>>());
    assert_eq!((contents.purged, contents.snapshot), (Some(id(9)), Some(snapshot)));
}

#[test]
fn a_log_that_is_not_there_or_not_ours_is_named() {
    let scratch = Scratch::new();
    let path = scratch.path().join("raft.redb");
    let error = Disk::open(&path, &stamp()).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }));
    let text = error.to_string();
    assert!(text.contains("raft.redb is missing") && text.contains("lvs-agent join SEED"), "{text}");

    Disk::create(&path, &stamp()).unwrap();
    assert!(matches!(Disk::create(&path, &stamp()), Err(StoreError::Exists { .. })));
    let foreign = Disk::open(&path, &LogOwner::new("0123456789abcdef", 2)).unwrap_err();
    assert!(foreign.to_string().contains("belongs to node n1 of cluster"), "{foreign}");
    let (_open, _) = Disk::open(&path, &stamp()).unwrap();
    assert!(matches!(Disk::open(&path, &stamp()), Err(StoreError::InUse { .. })));
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let whole = fs::read(&path).unwrap();
    for part in 0..16 {
        fs::write(&path, &whole[..whole.len() * part / 16]).unwrap();
        let error = Disk::open(&path, &stamp()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{part}/16: {error}");
        assert!(error.to_string().contains("move"), "{error}");
    }
    fs::write(&path, vec![0; whole.len()]).unwrap();
    assert!(matches!(Disk::open(&path, &stamp()), Err(StoreError::Damaged { .. })));
}

/// Wherever a bit flips, what is read is what was written, or nothing is.
#[test]
fn a_flipped_bit_anywhere_is_found_or_changes_nothing() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let whole = fs::read(&path).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| *at < 320 || whole[*at] != 0).collect();
    let mut found = 0;
    for at in used.iter().step_by(used.len() / 80) {
        let mut damaged = whole.clone();
        damaged[*at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        let Ok((_, contents)) = Disk::open(&path, &stamp()) else {
            found += 1;
            continue;
        };
        // The byte was in a page that is free: redb keeps former versions of pages there.
        assert_eq!(contents.entries.len(), 40, "byte {at}: entries are lost and nobody noticed");
        assert!(contents.entries.iter().all(|(index, (found, _))| *found == entry(*index)), "byte {at}");
        assert_eq!((contents.vote, contents.committed), (Some(Vote::new(3, 1)), Some(id(30))), "byte {at}");
    }
    assert!(found > 5, "{found} found: the test damages the wrong bytes");
}

/// Our own checksums, without redb's: the pages are whole, the record is another one's.
#[test]
fn a_record_that_was_changed_through_the_database_is_found() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let (disk, _) = Disk::open(&path, &stamp()).unwrap();
    let mut sealed = seal_entry(&entry(17)).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    disk.write(&[DiskChange::Append { index: 17, sealed }]).unwrap();
    drop(disk);
    let error = Disk::open(&path, &stamp()).unwrap_err();
    assert!(error.to_string().contains("entry 17 does not fit its checksum"), "{error}");
}

/// The same after a crash, when redb repairs: the last commit must not be taken for one that was torn.
#[test]
fn a_damaged_last_commit_is_not_rolled_back_after_a_crash() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let (disk, _) = Disk::open(&path, &stamp()).unwrap();
    disk.write(&[append(entry(40)), DiskChange::Vote(Vote::new(9, 1))]).unwrap();
    // As a power cut leaves it: the file as it is while it is open.
    let mut crashed = Vec::new();
    fs::File::open(&path).unwrap().read_to_end(&mut crashed).unwrap();
    drop(disk);
    fs::write(&path, &crashed).unwrap();
    let (disk, contents) = Disk::open(&path, &stamp()).unwrap();
    assert_eq!((contents.entries.len(), contents.vote), (41, Some(Vote::new(9, 1))));
    drop(disk);

    let sealed = seal_entry(&entry(40)).unwrap();
    let at = crashed.windows(sealed.len()).rposition(|window| window == sealed).unwrap();
    fs::write(&path, &crashed).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(at as u64 + 20)).unwrap();
    file.write_all(&[crashed[at + 20] ^ 1]).unwrap();
    drop(file);
    assert!(matches!(Disk::open(&path, &stamp()), Err(StoreError::Damaged { .. })));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let (disk, _) = Disk::open(&path, &stamp()).unwrap();
    disk.write(&[append(entry(41))]).unwrap();
    drop(disk);
    let error = Disk::open(&path, &stamp()).unwrap_err();
    assert!(error.to_string().contains("entry 40 is missing"), "{error}");

    let contents = |committed, purged| Contents { committed, purged, ..Contents::default() };
    assert!(contents(Some(id(3)), None).verify().unwrap_err().contains("its end is missing"));
    assert!(contents(None, Some(id(3))).verify().unwrap_err().contains("no snapshot has them"));
}

/// A real file on a disk that is full while `full` says so.
#[derive(Debug)]
struct FullDisk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl FullDisk {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl redb::StorageBackend for FullDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[test]
fn a_full_disk_is_named_and_what_was_stored_before_is_there_when_there_is_room_again() {
    let scratch = Scratch::new();
    let path = written(&scratch);
    let full = Arc::new(AtomicBool::new(false));
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let file = FileBackend::new(file).unwrap();
    let database = Database::builder().create_with_backend(FullDisk { file, full: full.clone() }).unwrap();
    let disk = Disk { database, path: path.clone() };
    disk.write(&[append(entry(40))]).unwrap();
    full.store(true, Ordering::Relaxed);
    let error = disk.write(&[append(entry(41))]).unwrap_err();
    assert!(matches!(&error, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    full.store(false, Ordering::Relaxed);
    assert!(disk.write(&[append(entry(41))]).is_err(), "what the file holds is not known: it has to be opened again");
    drop(disk);
    let (disk, contents) = Disk::open(&path, &stamp()).unwrap();
    assert!(contents.entries.len() >= 41, "{} entries", contents.entries.len());
    disk.write(&[append(entry(contents.entries.len() as u64))]).unwrap();
}

#[test]
fn nobody_else_may_read_the_log_and_nothing_shows_what_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let path = scratch.path().join("raft.redb");
    Disk::create(&path, &stamp()).unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    // One that an older version has made.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Disk::open(&path, &stamp()).unwrap());
    assert_eq!(mode(), 0o600);
    let snapshot = StoredSnapshot { meta: SnapshotMeta::default(), data: vec![0x5e; 32] };
    assert!(!format!("{snapshot:?}").contains(&0x5e.to_string()));
}
