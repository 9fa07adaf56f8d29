//! Room on the journal's disk, before there is no way but on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use changeover_journal::JOURNAL_FILE;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// What the journal takes from the seal to the end of an attempt, many times over.
const BYTES: u64 = 1 << 20;

/// Where room is looked for if the file system cannot set it aside.
const PROBE: &str = "room";

/// Sets room aside behind the journal's log, in which every record is written first. Its size stays.
///
/// # Errors
/// If the disk has none, or refuses.
pub(super) fn reserve(state_dir: &Path) -> io::Result<()> {
    let log = OpenOptions::new().write(true).open(state_dir.join(format!("{JOURNAL_FILE}-wal")))?;
    let end = log.metadata()?.len();
    match fallocate(&log, FallocateFlags::KEEP_SIZE, end, BYTES) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            let path = state_dir.join(PROBE);
            let written = probe(&path);
            fs::remove_file(&path).ok();
            written
        }
        Err(e) => Err(e.into()),
    }
}

fn probe(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..BYTES / 4096 {
        file.write_all(&[1; 4096])?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_set_aside_and_the_log_stays_as_long_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join(format!("{JOURNAL_FILE}-wal"));
        assert!(reserve(folder.path()).is_err(), "there is no journal");
        fs::write(&log, "records").unwrap();
        reserve(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "records");
        probe(&folder.path().join(PROBE)).unwrap();
    }
}
