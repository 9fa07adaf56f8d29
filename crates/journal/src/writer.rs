//! The one writer.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use changeover_types::WallMs;
use rusqlite::TransactionBehavior;

use crate::chain;
use crate::file::{JournalFile, Tail, wrap};
use crate::lock::{self, Lock};
use crate::{CrashPoint, Edge, Entry, JOURNAL_FILE, JournalError, Meta, OnCrashPoint, Record, Seq};

/// The journal, held by this process alone until it is dropped.
pub struct Journal {
    file: JournalFile,
    dir: PathBuf,
    meta: Option<Meta>,
    tail: Tail,
    poisoned: bool,
    crash: Option<(CrashPoint, OnCrashPoint)>,
    // Last, so that the file is closed before another writer may come.
    _lock: Lock,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir).field("tail", &self.tail.seq).finish()
    }
}

impl Journal {
    /// Opens the journal in `dir`, creating folder (mode 0700) and file if they are missing.
    ///
    /// # Errors
    /// If another process holds it, the file is foreign, newer or damaged, or the disk refuses.
    pub fn create_or_open(dir: &Path) -> Result<Journal, JournalError> {
        let io = |what, source| JournalError::Io { what, path: dir.to_owned(), source };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| io("create", source))?;
        let lock = lock::take(dir)?;
        let file = JournalFile::writable(dir.join(JOURNAL_FILE))?;
        // The file's name must survive power loss as well as its content.
        File::open(dir).and_then(|it| it.sync_all()).map_err(|source| io("sync", source))?;
        let (_, tail) = file.records(Seq(u64::MAX))?;
        let meta = file.meta()?;
        let dir = dir.to_owned();
        Ok(Journal { file, dir, meta, tail, poisoned: false, crash: None, _lock: lock })
    }

    /// Calls `die` when the given commit is reached. For tests that kill the process there.
    #[must_use]
    pub fn with_crash_point(mut self, point: CrashPoint, die: OnCrashPoint) -> Journal {
        self.crash = Some((point, die));
        self
    }

    /// The state folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the journal is about; `None` until [`Journal::begin`].
    #[must_use]
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// The last record's number; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.tail.seq
    }

    /// Says what the journal is about, once and before the first record.
    ///
    /// # Errors
    /// If it is about something already, or the disk refuses.
    pub fn begin(&mut self, meta: Meta) -> Result<(), JournalError> {
        if let Some(known) = &self.meta {
            let what = format!("is already about run {} of {}", known.run_id, known.migration);
            return Err(JournalError::Meta { path: self.file.path.clone(), what });
        }
        let values = [meta.migration.as_str(), &*meta.run_id, &*meta.plan_digest, &*meta.plan_text];
        let sql = "INSERT INTO meta VALUES (1, ?1, ?2, ?3, ?4)";
        self.file.run("begin", |c| c.execute(sql, values))?;
        self.tail.hash = chain::start(&meta);
        self.meta = Some(meta);
        Ok(())
    }

    /// Appends one record; when this returns it is durable.
    ///
    /// # Errors
    /// As [`Journal::append_all`].
    pub fn append(
        &mut self,
        kind: &str,
        at: WallMs,
        body: &serde_json::Value,
    ) -> Result<Seq, JournalError> {
        self.append_all(&[Entry { kind: kind.to_owned(), at, body: body.clone() }])
    }

    /// Appends all records or none; when this returns they are durable. Gives the last one's
    /// number.
    ///
    /// # Errors
    /// If [`Journal::begin`] was not called or the disk refuses. After a refusal it is not known
    /// what is on disk, so every later append is refused too; open the journal anew.
    pub fn append_all(&mut self, entries: &[Entry]) -> Result<Seq, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned { path: self.file.path.clone() });
        }
        if self.meta.is_none() {
            let what = "is about nothing yet: begin it first".to_owned();
            return Err(JournalError::Meta { path: self.file.path.clone(), what });
        }
        // Cleared at the end: an early return leaves it set.
        self.poisoned = true;
        self.tail = self.write(entries)?;
        self.poisoned = false;
        Ok(self.tail.seq)
    }

    fn write(&mut self, entries: &[Entry]) -> Result<Tail, JournalError> {
        let path = &self.file.path;
        let fail = |source| wrap("append to", path, source);
        let (first, mut tail) = (self.tail.seq, self.tail);
        let transaction = self
            .file
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(fail)?;
        for entry in entries {
            let (row, next) = prepare(tail, entry, path)?;
            let mut insert = transaction
                .prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5)")
                .map_err(fail)?;
            insert
                .execute((row.0, row.1, &entry.kind, &row.2, next.hash.as_slice()))
                .map_err(fail)?;
            tail = next;
        }
        let reached = |edge| {
            if let Some((point, die)) = &self.crash
                && (first < point.seq && point.seq <= tail.seq && point.edge == edge)
            {
                die(point.seq, edge);
            }
        };
        reached(Edge::Pre);
        transaction.commit().map_err(fail)?;
        reached(Edge::Post);
        Ok(tail)
    }

    /// Brings what lies in the log beside it into the journal's own file, so that a copy of that file
    /// alone has it. Waits for no reader: what one still needs stays in the log as well.
    ///
    /// # Errors
    /// If the disk refuses; nothing is lost then.
    pub fn checkpoint(&self) -> Result<(), JournalError> {
        let sql = "PRAGMA wal_checkpoint(PASSIVE)";
        self.file.run("checkpoint", |c| c.query_row(sql, [], |_| Ok(())))
    }

    /// Every record in order, with the chain checked again from the file.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn read_all(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self.file.records(Seq(0))?.0)
    }
}

type Row = (i64, i64, String);

fn prepare(tail: Tail, entry: &Entry, path: &Path) -> Result<(Row, Tail), JournalError> {
    let refuse = |what: &str| JournalError::Meta {
        path: path.to_owned(),
        what: format!("cannot take {what}"),
    };
    let next = Seq(tail.seq.0 + 1);
    let seq = i64::try_from(next.0).map_err(|_| refuse("more records"))?;
    let at = i64::try_from(entry.at.0).map_err(|_| refuse("a time so far away"))?;
    let body = serde_json::to_string(&entry.body).map_err(|_| refuse("a body that is not JSON"))?;
    let hash = chain::next(&tail.hash, seq, at, &entry.kind, &body);
    Ok(((seq, at, body), Tail { seq: next, hash }))
}

/// Moves the journal of a run that is over out of the way, so that another run of the same name
/// may begin. Gives the file's new place in the same folder.
///
/// # Errors
/// If another process holds the journal, it is damaged, or the disk refuses.
pub fn archive(dir: &Path) -> Result<PathBuf, JournalError> {
    let journal = Journal::create_or_open(dir)?;
    let Journal { file, meta, _lock: lock, .. } = journal;
    let run = meta.map_or_else(|| "unbegun".to_owned(), |meta| meta.run_id);
    let plain: String =
        run.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let (from, to) = (file.path.clone(), dir.join(format!("journal-{plain}.db")));
    // Everything into the one file first: the log beside it keeps the old name.
    file.run("archive", |c| c.pragma_update(None, "journal_mode", "DELETE"))?;
    drop(file);
    let io = |what, path: &Path, source| JournalError::Io { what, path: path.to_owned(), source };
    std::fs::rename(&from, &to).map_err(|source| io("rename", &from, source))?;
    File::open(dir).and_then(|it| it.sync_all()).map_err(|source| io("sync", dir, source))?;
    drop(lock);
    Ok(to)
}
