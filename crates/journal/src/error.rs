//! What can be wrong with a journal, and what to do about it.

use std::io;
use std::path::PathBuf;

use crate::{SCHEMA_VERSION, Seq};

/// Why a journal could not be opened, read or extended.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process is the writer.
    #[error(
        "the journal in {dir} is held by {}: one daemon runs a migration; \
         use the verbs to talk to it", holder(*pid)
    )]
    Held {
        /// The state folder.
        dir: PathBuf,
        /// The holder, if its lock file says.
        pid: Option<u32>,
    },
    /// There is no journal in the folder.
    #[error("there is no journal in {dir}: nothing was applied there yet")]
    Absent {
        /// The state folder.
        dir: PathBuf,
    },
    /// A file of the state folder could not be used.
    #[error("cannot {what} {path}")]
    Io {
        /// The act, as a verb.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refused.
    #[error("cannot {what} the journal {path}")]
    Sqlite {
        /// The act, as a verb.
        what: &'static str,
        /// The journal.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is something else.
    #[error("{path} is not a journal of Changeover: move it away or choose another --state-dir")]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "the journal {path} has schema version {found} and this program knows {SCHEMA_VERSION}: \
         use the version of changeover that started this migration, or a newer one"
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file was written by an older program.
    #[error(
        "the journal {path} has schema version {found} and this program writes {SCHEMA_VERSION}: end \
         that migration with the version of changeover that started it"
    )]
    Older {
        /// The journal.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file is damaged.
    #[error("the journal {path} is damaged: {what}; restore it from a backup of the state folder")]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The chain breaks: a record was changed or lost.
    #[error(
        "the journal {path} is damaged: {what} at record {seq}; \
         restore it from a backup of the state folder"
    )]
    Broken {
        /// The journal.
        path: PathBuf,
        /// At this record.
        seq: Seq,
        /// What is wrong with it.
        what: &'static str,
    },
    /// [`crate::Meta`] is missing, or there already is another.
    #[error("the journal {path} {what}")]
    Meta {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An earlier append failed, so the end of the file is not known any more.
    #[error("the journal {path} failed earlier and takes no more records: restart the daemon")]
    Poisoned {
        /// The journal.
        path: PathBuf,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
