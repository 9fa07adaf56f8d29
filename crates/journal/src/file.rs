//! The SQLite file: what makes it ours, and how it is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use changeover_types::{MigrationName, WallMs};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};

use crate::chain::{self, Hash};
use crate::{JournalError, Meta, Record, SCHEMA_VERSION, Seq};

/// Marks the file as ours: "CHOV".
const APPLICATION_ID: i32 = 0x4348_4F56;
/// How long a reader waits for a checkpoint, and the writer for a reader's.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  migration TEXT NOT NULL, run_id TEXT NOT NULL,
  plan_digest TEXT NOT NULL, plan_text TEXT NOT NULL
) STRICT;
CREATE TABLE record (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL,
  kind TEXT NOT NULL, body TEXT NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER record_stays BEFORE UPDATE ON record
  BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER record_remains BEFORE DELETE ON record
  BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER meta_stays BEFORE UPDATE ON meta
  BEGIN SELECT raise(ABORT, 'the journal is about one plan'); END;
CREATE TRIGGER meta_remains BEFORE DELETE ON meta
  BEGIN SELECT raise(ABORT, 'the journal is about one plan'); END;
";

/// An open journal file.
#[derive(Debug)]
pub(crate) struct JournalFile {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl JournalFile {
    /// Opens for writing, creating what is missing.
    pub(crate) fn writable(path: PathBuf) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = JournalFile::open(path, flags)?;
        let state = file.state()?;
        file.run("prepare", |c| c.pragma_update(None, "journal_mode", "WAL"))?;
        file.run("prepare", |c| c.pragma_update(None, "synchronous", "FULL"))?;
        let mode: String =
            file.run("prepare", |c| c.pragma_query_value(None, "journal_mode", |r| r.get(0)))?;
        if mode != "wal" {
            let what = format!("cannot use a write-ahead log (its mode stays `{mode}`)");
            return Err(JournalError::Meta { path: file.path, what });
        }
        if let State::Empty = state {
            let text = format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; \
                 PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            );
            file.run("create", |c| c.execute_batch(&text))?;
        }
        Ok(file)
    }

    /// Opens for reading beside a writer.
    pub(crate) fn readable(path: PathBuf) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = JournalFile::open(path, flags)?;
        match file.state()? {
            State::Ours => Ok(file),
            State::Empty => Err(JournalError::Absent {
                dir: file.path.parent().unwrap_or(Path::new(".")).to_owned(),
            }),
        }
    }

    fn open(path: PathBuf, flags: OpenFlags) -> Result<Self, JournalError> {
        let connection = Connection::open_with_flags(&path, flags)
            .and_then(|c| c.busy_timeout(BUSY).map(|()| c))
            .map_err(|source| wrap("open", &path, source))?;
        Ok(JournalFile { connection, path })
    }

    fn state(&self) -> Result<State, JournalError> {
        let number =
            |name| self.run("read", |c| c.pragma_query_value(None, name, |r| r.get::<_, i32>(0)));
        let (id, version) = (number("application_id")?, number("user_version")?);
        let tables: i64 = self.run("read", |c| {
            c.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        })?;
        match (id, version, tables) {
            (0, 0, 0) => Ok(State::Empty),
            (APPLICATION_ID, version, _) => match u32::try_from(version) {
                Ok(SCHEMA_VERSION) => Ok(State::Ours),
                Ok(found) if found > SCHEMA_VERSION => {
                    Err(JournalError::Newer { path: self.path.clone(), found })
                }
                Ok(found @ 1..) => Err(JournalError::Older { path: self.path.clone(), found }),
                _ => Err(JournalError::NotAJournal { path: self.path.clone() }),
            },
            _ => Err(JournalError::NotAJournal { path: self.path.clone() }),
        }
    }

    /// Runs one act of SQLite's and names it if it fails.
    pub(crate) fn run<T>(
        &self,
        what: &'static str,
        act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        act(&self.connection).map_err(|source| wrap(what, &self.path, source))
    }

    /// What the journal is about.
    pub(crate) fn meta(&self) -> Result<Option<Meta>, JournalError> {
        let sql = "SELECT migration, run_id, plan_digest, plan_text FROM meta";
        let row = self.run("read", |c| c.query_row(sql, [], four_texts).optional())?;
        let Some([migration, run_id, plan_digest, plan_text]) = row else { return Ok(None) };
        let migration = MigrationName::new(&migration)
            .map_err(|e| JournalError::Corrupt { path: self.path.clone(), what: e.to_string() })?;
        Ok(Some(Meta { migration, run_id, plan_digest, plan_text }))
    }

    /// The records after `after`, in order, and the hash of the last one there is. Every hash and
    /// number is checked on the way.
    pub(crate) fn records(&self, after: Seq) -> Result<(Vec<Record>, Tail), JournalError> {
        let meta = self.meta()?;
        let start = meta.as_ref().map(chain::start);
        let mut tail = Tail { seq: Seq(0), hash: start.unwrap_or_default() };
        let mut records = Vec::new();
        let sql = "SELECT seq, at, kind, body, hash FROM record ORDER BY seq";
        let rows = self.run("read", |c| {
            let mut statement = c.prepare_cached(sql)?;
            let rows = statement.query_map([], raw)?.collect::<rusqlite::Result<Vec<Raw>>>()?;
            Ok(rows)
        })?;
        if start.is_none() && !rows.is_empty() {
            let what = "it has records but no plan".to_owned();
            return Err(JournalError::Corrupt { path: self.path.clone(), what });
        }
        for row in rows {
            let record = self.link(&mut tail, row)?;
            if record.seq > after {
                records.push(record);
            }
        }
        Ok((records, tail))
    }

    fn link(&self, tail: &mut Tail, row: Raw) -> Result<Record, JournalError> {
        let seq = Seq(tail.seq.0 + 1);
        let broken = |what| JournalError::Broken { path: self.path.clone(), seq, what };
        if u64::try_from(row.seq) != Ok(seq.0) {
            return Err(broken("a record is missing"));
        }
        let hash = chain::next(&tail.hash, row.seq, row.at, &row.kind, &row.body);
        if row.hash != hash {
            return Err(broken("a record or the plan was changed"));
        }
        let at = u64::try_from(row.at).map_err(|_| broken("a time before 1970"))?;
        let body =
            serde_json::from_str(&row.body).map_err(|_| broken("a body that is not JSON"))?;
        *tail = Tail { seq, hash };
        Ok(Record { seq, at: WallMs(at), kind: row.kind, body })
    }
}

/// What a file holds, if it is not foreign.
enum State {
    Empty,
    Ours,
}

/// The last record's number and hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) seq: Seq,
    pub(crate) hash: Hash,
}

struct Raw {
    seq: i64,
    at: i64,
    kind: String,
    body: String,
    hash: Vec<u8>,
}

fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        seq: row.get(0)?,
        at: row.get(1)?,
        kind: row.get(2)?,
        body: row.get(3)?,
        hash: row.get(4)?,
    })
}

fn four_texts(row: &Row<'_>) -> rusqlite::Result<[String; 4]> {
    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
}

/// Tells damage from refusal.
pub(crate) fn wrap(what: &'static str, path: &Path, source: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => JournalError::NotAJournal { path },
        Some(ErrorCode::DatabaseCorrupt) => {
            JournalError::Corrupt { path, what: source.to_string() }
        }
        _ => JournalError::Sqlite { what, path, source },
    }
}
