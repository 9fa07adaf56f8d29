//! Everybody who is not the writer: `status`, `journal show`, a verb that finds the daemon gone.

use std::path::Path;

use crate::file::JournalFile;
use crate::{JOURNAL_FILE, JournalError, Meta, Record, Seq};

/// A view of the journal that takes no lock and changes nothing.
#[derive(Debug)]
pub struct Reader {
    file: JournalFile,
}

impl Reader {
    /// Opens the journal in `dir`.
    ///
    /// # Errors
    /// If there is none, or it is foreign, newer or damaged.
    pub fn open(dir: &Path) -> Result<Reader, JournalError> {
        let path = dir.join(JOURNAL_FILE);
        match path.try_exists() {
            Ok(true) => Ok(Reader { file: JournalFile::readable(path)? }),
            Ok(false) => Err(JournalError::Absent { dir: dir.to_owned() }),
            Err(source) => Err(JournalError::Io { what: "look for", path, source }),
        }
    }

    /// What the journal is about; `None` if its run has not begun.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn meta(&self) -> Result<Option<Meta>, JournalError> {
        self.file.meta()
    }

    /// Every record in order, with the chain checked.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn read_all(&self) -> Result<Vec<Record>, JournalError> {
        self.read_after(Seq(0))
    }

    /// The records after `seq`, with the chain checked from the start.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn read_after(&self, seq: Seq) -> Result<Vec<Record>, JournalError> {
        Ok(self.file.records(seq)?.0)
    }
}
