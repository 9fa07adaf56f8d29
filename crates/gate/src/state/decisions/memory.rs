//! The users of a canary on disk, so that a gate that is started anew counts nobody twice.
//!
//! What a user did is on disk before it is told: whoever asks for decided seconds has the users
//! written down first ([`Memory::keep`]). So no run has ever counted a user whom the next life of
//! the gate does not know; a user of seconds that nobody was told of may be known all the same,
//! and is then left out, whichever side it is on. Whole records are appended and not flushed: they
//! survive the gate, and a host that fails may lose the last of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use changeover_types::LatencyBucket;

use super::users::{Known, Users};

/// What the file begins with; the canary's salt follows.
const MAGIC: [u8; 8] = *b"users-v1";

const HEAD: usize = 16;
const RECORD: usize = 11;

/// A longer file is written anew, each user once.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The file `users` in the state folder. Of another canary it is written anew by the first that has
/// something to tell.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    /// Of the present canary; none before its first user.
    open: Option<(File, u64)>,
    /// Said once: from then on a restart would count users twice.
    broken: bool,
}

impl Memory {
    pub(super) fn in_folder(folder: &Path) -> Memory {
        Memory { path: folder.join("users"), open: None, broken: false }
    }

    /// Gives back what was written down in this canary.
    pub(super) fn recall(&mut self, users: &Users) {
        match self.read(users.salt()) {
            Ok(known) if known.is_empty() => {}
            Ok(known) => {
                known.into_iter().for_each(|known| users.recall(known));
                if let Err(error) = self.rewrite(users) {
                    self.fails("write", &error);
                }
            }
            Err(error) => self.fails("read", &error),
        }
    }

    /// Another canary: its users are others.
    pub(super) fn forget(&mut self) {
        (self.open, self.broken) = (None, false);
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => self.fails("remove", &error),
            _ => {}
        }
    }

    /// Writes down what has changed.
    pub(super) fn keep(&mut self, users: &Users) {
        let changed = users.changed();
        if changed.is_empty() || self.broken {
            return;
        }
        let kept = match &mut self.open {
            Some((file, bytes)) if *bytes < MOST_BYTES => {
                let records: Vec<u8> = changed.iter().flat_map(record).collect();
                *bytes += records.len() as u64;
                file.write_all(&records)
            }
            _ => self.rewrite(users),
        };
        if let Err(error) = kept {
            self.fails("write", &error);
        }
    }

    fn read(&self, salt: u64) -> io::Result<Vec<Known>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let Some((head, records)) = bytes.split_first_chunk::<HEAD>() else { return Ok(vec![]) };
        if *head != self::head(salt) {
            return Ok(vec![]);
        }
        // A record that was cut off by the end of its writer was never told of.
        Ok(records.chunks_exact(RECORD).filter_map(known).collect())
    }

    fn rewrite(&mut self, users: &Users) -> io::Result<()> {
        let all = users.all();
        let mut bytes = head(users.salt()).to_vec();
        bytes.extend(all.iter().flat_map(record));
        let new = self.path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        fs::rename(&new, &self.path)?;
        self.open = Some((file, bytes.len() as u64));
        Ok(())
    }

    fn fails(&mut self, doing: &str, error: &io::Error) {
        let path = self.path.display();
        tracing::error!(
            %error,
            "cannot {doing} {path}: if the gate is started anew within this canary, users may be \
             counted a second time"
        );
        (self.open, self.broken) = (None, true);
        // Half of the users is worse than none: it would be believed.
        fs::remove_file(&self.path).ok();
    }
}

fn head(salt: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..].copy_from_slice(&salt.to_le_bytes());
    head
}

/// Key, slowest answer if there is one, and whether one was bad.
fn record(known: &Known) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&known.key.to_le_bytes());
    let slowest = known.slowest.unwrap_or_default().0;
    record[8..10].copy_from_slice(&slowest.to_le_bytes());
    record[10] = u8::from(known.bad) | u8::from(known.slowest.is_some()) << 1;
    record
}

fn known(record: &[u8]) -> Option<Known> {
    let (key, rest) = record.split_first_chunk::<8>()?;
    let (slowest, flags) = rest.split_first_chunk::<2>()?;
    let flags = *flags.first()?;
    let slowest = LatencyBucket(u16::from_le_bytes(*slowest));
    Some(Known {
        key: u64::from_le_bytes(*key),
        slowest: (flags & 2 != 0).then_some(slowest),
        bad: flags & 1 != 0,
    })
}

#[cfg(test)]
mod tests {
    use changeover_types::Tick;

    use super::*;

    fn users(salt: u64) -> Users {
        let users = Users::default();
        users.begin(Tick(0), salt);
        users
    }

    #[test]
    fn the_next_life_knows_whom_the_last_one_has_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let first = users(7);
        let mut memory = Memory::in_folder(folder.path());
        memory.recall(&first);
        first.note(1, LatencyBucket(50), true).unwrap();
        first.note(2, LatencyBucket(60), false).unwrap();
        memory.keep(&first);
        first.note(2, LatencyBucket(90), false).unwrap();
        memory.keep(&first);
        first.note(3, LatencyBucket(10), true).unwrap();
        // The last was never told of. A record that was cut off is none.
        let path = folder.path().join("users");
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEAD + 3 * RECORD);
        bytes.extend([9; 5]);
        fs::write(&path, bytes).unwrap();

        let second = users(7);
        Memory::in_folder(folder.path()).recall(&second);
        let one = second.note(1, LatencyBucket(1), true).unwrap();
        assert_eq!((one.first_bad, one.slowest_before), (false, Some(LatencyBucket(50))));
        let two = second.note(2, LatencyBucket(80), false).unwrap();
        assert_eq!((two.is_slowest, two.slowest_before), (false, Some(LatencyBucket(90))));
        assert!(second.note(3, LatencyBucket(1), true).unwrap().first_bad);
        assert_eq!(fs::read(&path).unwrap().len(), HEAD + 2 * RECORD, "each once");
    }

    #[test]
    fn another_canary_knows_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let (first, mut memory) = (users(7), Memory::in_folder(folder.path()));
        first.note(1, LatencyBucket(50), true).unwrap();
        memory.keep(&first);
        let other = users(8);
        Memory::in_folder(folder.path()).recall(&other);
        assert!(other.note(1, LatencyBucket(50), true).unwrap().first_bad);
        // Neither does one of the same salt that was begun while the gate lived.
        let (again, mut memory) = (users(7), Memory::in_folder(folder.path()));
        again.note(1, LatencyBucket(50), true).unwrap();
        memory.keep(&again);
        memory.forget();
        assert!(!folder.path().join("users").exists());
    }

    #[test]
    fn a_disk_that_fails_is_told_and_leaves_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(7);
        let mut memory = Memory::in_folder(&folder.path().join("not-there"));
        users.note(1, LatencyBucket(50), true).unwrap();
        memory.keep(&users);
        assert!(memory.broken && memory.open.is_none());
        memory.keep(&users);
        memory.forget();
        assert!(!memory.broken, "the next canary tries again");
    }
}
