//! One writer: an exclusive lock on a file, held as long as the writer lives.
//!
//! The kernel gives it up when the process dies, however it dies, so there is no stale lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::{JournalError, LOCK_FILE};

/// The lock; dropped with its holder.
#[derive(Debug)]
pub(crate) struct Lock {
    // Never read: closing it ends the lock.
    _file: File,
}

/// Takes the lock of `dir`, or says who has it.
pub(crate) fn take(dir: &Path) -> Result<Lock, JournalError> {
    let path = dir.join(LOCK_FILE);
    let io = |what, source| JournalError::Io { what, path: path.clone(), source };
    // Not truncated on opening: another holder's number must stay readable.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| io("open", source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = match file.read_to_string(&mut text) {
                Ok(_) => text.trim().parse().ok(),
                Err(_) => None,
            };
            return Err(JournalError::Held { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(io("lock", source)),
    }
    let number = format!("{}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(number.as_bytes()))
        .map_err(|source| io("write", source))?;
    Ok(Lock { _file: file })
}
