//! The counter that a server gives all its numbers from: reading it and moving it on.
//!
//! A superuser asks for numbers with `pg_nextoid`. Everybody else uses them up in transactions
//! that are rolled back: a few as large objects, many as values that are stored out of line in a
//! temporary table, each of which gets a number too (that writes no WAL and leaves nothing in a
//! catalogue).

use super::plan::distance;
use crate::catalog::cell;
use crate::error::{Error, Result};
use crate::session::Session;

const NEXT: &str = "pg_catalog.pg_nextoid('pg_catalog.pg_type'::pg_catalog.regclass, 'oid', \
                    'pg_catalog.pg_type_oid_index'::pg_catalog.regclass)";

/// Numbers used up by one statement, so that the progress is seen and a cancel is heard.
const CHUNK: u64 = 1_000_000;

/// Out-of-line values of one row, and what making the table may use up besides.
const COLUMNS: u64 = 60;
const SLACK: u64 = 200;

/// Fewer than this are not worth a table.
const FEW: u64 = 3000;

/// How numbers are used up on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    /// Our role may ask for them.
    Asking,
    /// It may not.
    Making,
}

impl Counter {
    /// Finds out what our role may do. Uses up one number where it may ask.
    pub(super) async fn open(target: &mut Session) -> Result<Counter> {
        match target.query(&format!("SELECT {NEXT}")).await {
            Ok(_) => Ok(Counter::Asking),
            Err(e) if matches!(e.sqlstate(), Some("42501" | "42883")) => Ok(Counter::Making),
            Err(e) => Err(e.with_context("reading the counter of numbers")),
        }
    }

    /// The number that is given next, outside of a transaction. Uses up the one before.
    pub(super) async fn next(self, target: &mut Session) -> Result<u32> {
        if self == Counter::Asking {
            return self.next_inside(target).await;
        }
        target.execute("BEGIN READ WRITE").await?;
        let next = self.next_inside(target).await;
        target.execute("ROLLBACK").await?;
        next
    }

    /// The same in a transaction that will be rolled back.
    pub(super) async fn next_inside(self, target: &mut Session) -> Result<u32> {
        let sql = match self {
            Counter::Asking => format!("SELECT ({NEXT})::pg_catalog.int8"),
            Counter::Making => "SELECT pg_catalog.lo_create(0)::pg_catalog.int8".to_owned(),
        };
        let found = cell(target, &sql).await?.and_then(|text| text.parse::<u32>().ok());
        let given =
            found.ok_or_else(|| Error::protocol(target.side(), "the counter gave no number"))?;
        Ok(given.checked_add(1).unwrap_or(16384))
    }

    /// Moves the counter, which is at most `most` numbers before it, on until it gives `wanted`
    /// next. `false`: somebody else used numbers at the same time, and it is past.
    pub(super) async fn advance(
        self,
        target: &mut Session,
        wanted: u32,
        most: u64,
        left: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool> {
        let mut remaining = distance(self.next(target).await?, wanted);
        if remaining > most {
            return Ok(false);
        }
        while remaining > 0 {
            left(remaining);
            // Reading takes the last one.
            self.use_up(target, remaining - 1).await?;
            let now = distance(self.next(target).await?, wanted);
            if now >= remaining {
                return Ok(false);
            }
            remaining = now;
        }
        Ok(true)
    }

    /// Uses up at most `count` numbers.
    async fn use_up(self, target: &mut Session, count: u64) -> Result<()> {
        let sql = match self {
            _ if count == 0 => return Ok(()),
            Counter::Asking => format!(
                "SELECT pg_catalog.count({NEXT}) FROM pg_catalog.generate_series(1, {})",
                count.min(CHUNK)
            ),
            Counter::Making if count > FEW => out_of_line((count.min(CHUNK) - SLACK) / COLUMNS),
            Counter::Making => format!(
                "BEGIN READ WRITE; SELECT pg_catalog.count(pg_catalog.lo_create(0)) \
                 FROM pg_catalog.generate_series(1, {count}); ROLLBACK"
            ),
        };
        let done = target.execute(&sql).await;
        if done.is_err() {
            target.execute("ROLLBACK").await.ok();
        }
        done.map(drop).map_err(|e| e.with_context("moving the counter of numbers on"))
    }
}

/// Rows whose every value is stored out of line and numbered.
fn out_of_line(rows: u64) -> String {
    let each =
        |text: &dyn Fn(u64) -> String| (1..=COLUMNS).map(text).collect::<Vec<String>>().join(", ");
    format!(
        "BEGIN READ WRITE; CREATE TEMPORARY TABLE changeover_numbers ({}); \
         ALTER TABLE pg_temp.changeover_numbers {}, SET (toast_tuple_target = 128); \
         INSERT INTO pg_temp.changeover_numbers SELECT {} \
         FROM pg_catalog.generate_series(1, {rows}); ROLLBACK",
        each(&|i| format!("c{i} pg_catalog.text")),
        each(&|i| format!("ALTER c{i} SET STORAGE EXTERNAL")),
        each(&|_| "pg_catalog.repeat('x', 40)".to_owned()),
    )
}
