//! The run's truth on disk: an append-only SQLite journal (L2).
//!
//! What is in the journal will be believed after any crash, so: one writer, held by a lock on a
//! file for life; WAL with `synchronous=FULL`, so that an append that returned survives power
//! loss; records that are hash-chained to the plan they belong to, so that a torn or edited file is
//! noticed; a schema version, so that an older program never guesses. Bodies are plain JSON that
//! callers give; no secret may be among them.
//!
//! Reading order: [`Journal`] (the writer), [`Reader`] (everybody else), `chain`, `file`.

mod chain;
mod crash;
mod error;
mod file;
mod lock;
mod reader;
mod record;
mod writer;

pub use crash::{CrashPoint, Edge, InvalidCrashPoint, OnCrashPoint};
pub use error::JournalError;
pub use reader::Reader;
pub use record::{Entry, Meta, Record, Seq};
pub use writer::{Journal, archive};

/// The file's name in the state folder.
pub const JOURNAL_FILE: &str = "journal.db";
/// The lock's name in the state folder. Its text is the holder's process id.
pub const LOCK_FILE: &str = "journal.lock";
/// The version of the tables and of the chain.
pub const SCHEMA_VERSION: u32 = 2;
